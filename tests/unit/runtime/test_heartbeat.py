"""Processes that watch each other: two of them, on gloo, that do nothing else."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from pipeline import PROJECT
from pipeline.errors import FAILED

PROCESS = """
import time
import torch.distributed as dist
from pipeline.runtime import heartbeat
heartbeat.ALIVE_SECONDS, heartbeat.SILENT_SECONDS = 0.2, 2.0
dist.init_process_group("gloo")
kept = heartbeat.Heartbeat(lambda status, sentence: print(sentence, flush=True))
print("watches", flush=True)
time.sleep(120)
"""


@pytest.fixture
def two() -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes that watch each other and work for longer than the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS],
            env=os.environ | meet | {"RANK": str(rank), "PYTHONPATH": str(PROJECT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "watches\n"
        yield running
    finally:
        for process in running:
            process.kill()
            process.communicate()


def test_a_process_that_falls_silent_is_gone_though_its_connection_holds(two: list[subprocess.Popen[str]]) -> None:
    first, second = two
    time.sleep(3)  # longer than a silence: both hear that the other is alive
    assert first.poll() is None and second.poll() is None
    os.kill(first.pid, signal.SIGSTOP)  # as when its machine loses its power: nothing closes the connection
    said, _ = second.communicate(timeout=60)
    assert second.returncode == FAILED
    assert said == "process 0 of 2 is gone, so the others end; the same command goes on\n"
