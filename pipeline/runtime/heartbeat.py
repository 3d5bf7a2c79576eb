"""A heartbeat between the processes of one stage: when one is gone, the others end too, and report which.

A launcher ends only the processes of its own machine when one of them dies. So all processes form a ring: in a thread
each receives the heartbeat of the next one, over a connection that breaks when that process dies, and passes a failure
on to the one before it. A process that sends nothing for SILENT_SECONDS (no power, no network) counts as gone too.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import cast

import torch
import torch.distributed as dist

from pipeline.errors import FAILED, INTERRUPTED, OK
from pipeline.runtime.patience import MEETING_SECONDS

FOREVER = timedelta(days=30)
STOP_SECONDS = 90.0  # for a checkpoint, once another process was asked to stop
PEER_SECONDS = 5.0  # until the end of a process is known to all
ALIVE = -1  # instead of an exit status: the process works
ALIVE_SECONDS = 10.0  # between two heartbeats
SILENT_SECONDS = 180.0  # a slow disk or a long call of a library may delay a heartbeat

Report = Callable[[int, str], None]  # takes the status that this process ends with and one sentence


class Heartbeat:
    """This process's part in the ring. A process that is alone has none and does nothing."""

    def __init__(self, report: Report) -> None:
        self._ended_peer: tuple[int, int] | None = None  # its exit status and its number
        self._report = report
        self.alone = not dist.is_initialized() or dist.get_world_size() == 1
        if not self.alone:
            self._rank, self._world = dist.get_rank(), dist.get_world_size()
            silence = timedelta(seconds=SILENT_SECONDS)
            self._group = cast(dist.ProcessGroup, dist.new_group(backend="gloo", timeout=silence))
            self._leaving = threading.Event()
            self._sending = threading.Lock()
            for work in (self._receive, self._send_alive):
                threading.Thread(target=work, daemon=True, name=f"heartbeat{work.__name__}").start()

    def _receive(self) -> None:
        """Wait until the next process ends or passes an end on; where it is a failure, end this process too."""
        following = (self._rank + 1) % self._world
        message = torch.tensor([ALIVE, following])
        while message[0] == ALIVE:
            try:
                dist.recv(message, src=following, group=self._group)
            except RuntimeError:  # its connection broke, or it is silent
                message = torch.tensor([FAILED, following])
        status, process = message.tolist()
        if status == OK:
            return
        self._ended_peer = (status, process)
        self._send(status, process)
        if status == INTERRUPTED:
            os.kill(os.getpid(), signal.SIGTERM)  # this one stops too, at its next safe point
            time.sleep(STOP_SECONDS)
        self._report(status, self._sentence(status, process))
        os._exit(status)

    def _send_alive(self) -> None:
        while not self._leaving.wait(ALIVE_SECONDS):
            self._send(ALIVE, self._rank)

    def _sentence(self, status: int, process: int) -> str:
        end = "was asked to stop, so this one stops" if status == INTERRUPTED else "is gone, so the others end"
        return f"process {process} of {self._world} {end}; the same command goes on"

    def peer_failure(self) -> tuple[int, str] | None:
        """After an error: the exit status of another process and a sentence, where its end explains the error."""
        end = time.monotonic() + PEER_SECONDS
        while not self.alone and self._ended_peer is None and time.monotonic() < end:
            time.sleep(0.05)
        return self._ended_peer and (self._ended_peer[0], self._sentence(*self._ended_peer))

    def leave(self, status: int) -> None:
        """Send this process's exit status to the process before it."""
        if not self.alone and self._ended_peer is None:
            self._leaving.set()
            farewell = threading.Thread(target=self._send, args=(status, self._rank), daemon=True)
            farewell.start()
            farewell.join(PEER_SECONDS)

    def _send(self, status: int, process: int) -> None:
        with self._sending, suppress(RuntimeError):  # it is gone itself
            dist.send(torch.tensor([status, process]), dst=(self._rank - 1) % self._world, group=self._group)


@contextmanager
def meeting(world: int, report: Report) -> Iterator[None]:
    """While the processes find each other: this one ends where the others do not come within MEETING_SECONDS."""

    def give_up() -> None:
        late = f"not all of {world} processes came within {MEETING_SECONDS:.0f} s"
        report(FAILED, f"{late}: is it started on every machine?")
        os._exit(FAILED)

    timer = threading.Timer(MEETING_SECONDS, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
