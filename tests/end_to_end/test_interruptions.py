"""What goes wrong around a real stage, launched as a user launches it: signals, lost processes, a second
run, a terminal that closes. Each starts from the artifacts of the finished run."""

import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline import PROJECT
from tests.faults import differing
from tests.helpers.commands import copy_artifacts, run_all, tree
from tests.helpers.launched import Launched, alive, ranks_below, wait_for

pytestmark = pytest.mark.slow
LONG = ("--distill_layers.epochs", "400")  # longer than any test waits


def curve(artifact: Path) -> list[dict[str, float]]:
    return json.loads((artifact / "stage.json").read_text())["metrics"]["curve"]


@pytest.mark.parametrize(("processes", "victim"), [(2, 0), (3, 1)])
def test_a_killed_process_ends_the_others_and_is_named(
    finished: Path, run_world: Path, tmp_path: Path, processes: int, victim: int
) -> None:
    stage = Launched(finished, run_world / "recipe.yaml", tmp_path, "distill_layers", *LONG, "--", "--num_processes",
                     str(processes)).until("*.work/output")  # fmt: skip
    ranks = ranks_below(stage.process.pid)
    os.kill(ranks[victim], signal.SIGKILL)
    assert stage.process.wait(timeout=60) == 1
    assert f"distill_layers failed: process {victim} of {processes} is gone" in stage.said()
    assert alive(list(ranks.values())) == []


def test_a_process_that_fails_on_its_data_ends_all(run_world: Path, tmp_path: Path) -> None:
    (tmp_path / "spoilt.txt").write_bytes(b"A fine film .\n\n\xff\n")
    stage = Launched(run_world, run_world / "recipe.yaml", tmp_path, "prepare_corpus", "--prepare_corpus.sources",
                     f"[{run_world}/text.txt, {tmp_path}/spoilt.txt]", "--", "--num_processes", "2")  # fmt: skip
    assert stage.process.wait(timeout=60) == 2
    said = stage.said()
    assert f"prepare_corpus failed: {tmp_path}/spoilt.txt:3: not UTF-8" in said and "Traceback" not in said
    assert not list(stage.place.glob("*/stage.json"))


def test_asked_to_stop_all_go_and_another_number_of_processes_ends_with_the_same_loss(
    finished: Path, run_world: Path, tmp_path: Path
) -> None:
    often = ("--run.checkpoint_seconds", "0.001", "--distill_layers.epochs", "8", "--run.log_every", "1")
    recipe = run_world / "recipe.yaml"
    whole = Launched(finished, recipe, tmp_path, "distill_layers", *often)
    assert whole.process.wait(timeout=120) == 0
    stopped_in = tmp_path / "stopped"
    two = Launched(finished, recipe, stopped_in, "distill_layers", *often, "--", "--num_processes", "2")
    stage = two.until("*.work/checkpoint-*[0-9]")
    group = tree(stage.process.pid)
    os.kill(stage.process.pid, signal.SIGTERM)
    assert stage.process.wait(timeout=60) == 75
    said = stage.said()
    assert "the same command goes on" in said and "Traceback" not in said
    assert alive(group) == []
    again = Launched(finished, recipe, stopped_in, "distill_layers", *often)
    assert again.process.wait(timeout=120) == 0
    assert "going on from step" in again.said()
    one, two = curve(whole.published()), curve(again.published())
    assert len(one) == len(two) > 50
    for name in one[0]:
        assert [point[name] for point in two] == pytest.approx([point[name] for point in one], abs=1e-4)


def test_three_processes_go_on_with_the_same_bytes(finished: Path, run_world: Path, tmp_path: Path) -> None:
    """From three on, where a gradient lies in a bucket decides in which order it is summed; this student fills some."""
    words = ("--student.width", "192", "--student.feed_forward", "768", "--student.layers", "2", "--student.start",
             "random", "--run.checkpoint_seconds", "0.001", "--", "--num_processes", "3")  # fmt: skip
    recipe, killed_in = run_world / "recipe.yaml", tmp_path / "killed"
    whole = Launched(finished, recipe, tmp_path, "distill_general", *words)
    assert whole.process.wait(timeout=120) == 0
    stage = Launched(finished, recipe, killed_in, "distill_general", *words)
    ranks = ranks_below(stage.until("*.work/checkpoint-*[0-9]").process.pid)
    os.kill(ranks[0], signal.SIGKILL)
    assert stage.process.wait(timeout=60) == 1
    again = Launched(finished, recipe, killed_in, "distill_general", *words)
    assert again.process.wait(timeout=120) == 0
    assert "going on from step" in again.said()
    assert list(differing(whole.published(), again.published())) == []


def test_ctrl_c_leaves_no_process_and_the_same_command_ends_with_the_same_bytes(
    finished: Path, run_world: Path, tmp_path: Path
) -> None:
    often = ("--run.checkpoint_seconds", "0.001")
    recipe = run_world / "recipe.yaml"
    stage = Launched(finished, recipe, tmp_path, "pretrain_teacher", *often).until("*.work/checkpoint-*[0-9]")
    group = tree(stage.process.pid)
    os.kill(stage.process.pid, signal.SIGINT)
    assert stage.process.wait(timeout=60) == 75
    assert alive(group) == []
    again = Launched(finished, recipe, tmp_path, "pretrain_teacher")
    assert again.process.wait(timeout=120) == 0
    assert list(differing((finished / "pretrain_teacher").resolve(), again.published())) == []


def test_the_stage_goes_with_the_command_that_launched_it(finished: Path, run_world: Path, tmp_path: Path) -> None:
    stage = Launched(finished, run_world / "recipe.yaml", tmp_path, "distill_layers", *LONG).until("*.work/output")
    group = tree(stage.process.pid)
    time.sleep(1)
    stage.process.kill()  # that one alone: it can pass no signal on
    stage.process.wait()
    end = time.monotonic() + 60
    while alive(group) and time.monotonic() < end:
        time.sleep(0.1)
    assert alive(group) == []
    assert list(stage.place.glob("*.work/checkpoint-*[0-9]"))  # it stopped as when it is asked to


def test_of_two_runs_at_once_the_second_says_who_holds_the_artifact(
    finished: Path, run_world: Path, tmp_path: Path
) -> None:
    recipe = run_world / "recipe.yaml"
    first = Launched(finished, recipe, tmp_path, "distill_layers", *LONG).until("*.work/output")
    second = Launched(finished, recipe, tmp_path, "distill_layers", *LONG)
    assert second.process.wait(timeout=60) == 2
    assert "is being made by process" in second.said()
    assert f"on {os.uname().nodename} since 20" in second.said()
    assert first.process.poll() is None
    os.kill(first.process.pid, signal.SIGTERM)
    assert first.process.wait(timeout=60) == 75


def closing(stage: str, world: Path, folder: Path, *words: str, close: str = "", **streams: Any) -> Any:
    """`./run_all.sh --only STAGE` by a shell that ends its line with `close`."""
    places = ["--run.artifacts", str(folder / "a"), "--run.runs", str(folder / "r")]
    command = shlex.join([str(PROJECT / "run_all.sh"), str(world / "recipe.yaml"), *places, "--only", stage, *words])
    environment = os.environ | {"PYTHON": sys.executable, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(["bash", "-c", f"{command} {close}"], env=environment, **streams)


@pytest.mark.parametrize("close", ["2>&1 | head -1; exit ${PIPESTATUS[0]}", ">&- 2>&-"])
def test_a_run_goes_on_where_nobody_reads(run_world: Path, tmp_path: Path, close: str) -> None:
    command = closing("prepare_corpus", run_world, tmp_path, close=close)
    assert command.wait(timeout=120) == 0
    assert list(tmp_path.glob("a/prepare_corpus/*/stage.json"))
    assert "published" in (tmp_path / "r/recipe/logs/prepare_corpus.log").read_text()


def test_a_terminal_that_closes_asks_to_stop(finished: Path, run_world: Path, tmp_path: Path) -> None:
    copy_artifacts(finished, tmp_path / "a", until="distill_layers")
    ours, theirs = os.openpty()
    command = closing(
        "distill_layers", run_world, tmp_path, *LONG, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    wait_for(lambda: list(tmp_path.glob("a/distill_layers/*.work/output")), command)
    group = tree(command.pid)
    time.sleep(1)
    os.close(ours)
    assert command.wait(timeout=60) == 75
    assert alive(group) == []
    assert list(tmp_path.glob("a/distill_layers/*.work/checkpoint-*[0-9]"))


def listens(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    (caught,) = re.findall(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(caught, 16) >> (number - 1) & 1) and b"-m\0pipeline" in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_in_the_first_second_is_one_too(world: Path, number: int) -> None:
    command = run_all(world / "recipe.yaml", "--list", wait=False, stderr=subprocess.PIPE)
    wait_for(lambda: listens(command.pid, signal.SIGTERM), command)  # from here on modules are imported
    command.send_signal(number)
    _, said = command.communicate(timeout=30)
    assert (command.returncode, said) == (75, b"")
