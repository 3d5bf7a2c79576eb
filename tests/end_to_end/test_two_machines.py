"""Two machines, as the README tells a user to start them: here two network namespaces of one, joined by a cable.

The whole pipeline on them takes minutes:
TWO_MACHINES_UNTIL=export_student python -m pytest tests/end_to_end/test_two_machines.py
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipeline import PROJECT
from pipeline.plan.stages import STAGES
from tests.faults import differing
from tests.helpers.commands import run_all

pytestmark = pytest.mark.slow
LAST = os.environ.get("TWO_MACHINES_UNTIL", "pretrain_teacher")
CABLE = "cable"  # the name of the network card on both


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[str]]:
    """The names of two network namespaces that reach each other as 10.77.0.1 and 10.77.0.2."""
    names = [f"distill-{os.getpid()}-{number}" for number in (1, 2)]
    first, second = names
    commands = [
        *(f"ip netns add {name}" for name in names),
        f"ip link add {CABLE} netns {first} type veth peer name {CABLE} netns {second}",
        *(f"ip -n {name} address add 10.77.0.{number}/24 dev {CABLE}" for number, name in enumerate(names, 1)),
        *(f"ip -n {name} link set {link} up" for name in names for link in (CABLE, "lo")),
    ]
    try:
        for command in commands if sys.platform == "linux" else ["false"]:
            if os.geteuid() != 0 or subprocess.run(command.split(), capture_output=True, check=False).returncode != 0:
                pytest.skip("only root on Linux can make network namespaces")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


@pytest.fixture
def accelerate_config(tmp_path: Path) -> Path:
    """accelerate_configs/two_machines.yaml with a process and no GPU on each."""
    given = yaml.safe_load((PROJECT / "accelerate_configs" / "two_machines.yaml").read_text())
    path = tmp_path / "two_machines.yaml"
    path.write_text(yaml.safe_dump({**given, "num_processes": 2, "main_process_ip": "10.77.0.1"}))
    return path


def start(machine: str, rank: int, config: Path, *words: str | Path) -> subprocess.Popen[str]:
    """What a user types on one of the machines."""
    command = ["ip", "netns", "exec", machine, str(PROJECT / "run_all.sh"), *map(str, words), "--"]
    command += ["--config_file", str(config), "--machine_rank", str(rank)]
    environment = {"PYTHON": sys.executable, "PYTHONPATH": "", "GLOO_SOCKET_IFNAME": CABLE}
    return subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True)


def test_two_machines_end_with_the_bytes_of_one(
    machines: list[str], accelerate_config: Path, run_world: Path, tmp_path: Path
) -> None:
    recipe = run_world / "recipe.yaml"
    two, one = ([recipe, "--until", LAST, "--run.artifacts", tmp_path / n / "a", "--run.runs", tmp_path / n / "r"]
                for n in ("two", "one"))  # fmt: skip
    running = [start(machine, rank, accelerate_config, *two) for rank, machine in enumerate(machines)]
    ends = [process.communicate(timeout=1200)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], "\n".join(end[-2000:] for end in ends)
    assert run_all(*one, "--", "--num_processes", "2").returncode == 0
    for stage in STAGES[: STAGES.index(LAST) + 1]:
        ours, theirs = ((tmp_path / n / "r" / "recipe" / stage).resolve() for n in ("two", "one"))
        card = {"README.md"} if stage == "export_student" else set()  # it holds times and the command
        assert set(differing(theirs, ours)) <= card, stage


def test_storage_that_is_not_shared_is_one_sentence_on_both(
    machines: list[str], accelerate_config: Path, run_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = [
        start(machine, rank, accelerate_config, run_world / "recipe.yaml", "--run.artifacts", tmp_path / machine,
              "--run.runs", tmp_path / "r")
        for rank, machine in enumerate(machines)
    ]  # fmt: skip
    ends = [process.communicate(timeout=300)[1] for process in running]
    assert [process.returncode for process in running] == [2, 2]
    host, folder = socket.gethostname(), tmp_path / machines[1]
    assert f"prepare_corpus failed: process 1 on {host} sees another {folder} than the main process" in ends[1]
    assert "put run.artifacts and run.runs on storage that all machines share" in ends[1]
    assert "prepare_corpus failed: process 1 of 2 is gone" in ends[0]
