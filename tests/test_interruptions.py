"""What goes wrong around a real stage, launched as a user launches it: signals, lost processes, a changing input, a
second run, an odd environment. Each starts from the artifacts of the finished run."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.commands import copy_artifacts, kill_tree, run_all, tree
from tests.faults import differing

pytestmark = pytest.mark.slow
YEAR = 365 * 24 * 3600
LONG = ("--distill_layers.epochs", "400")  # longer than any test waits


class Launched:
    """`./run_all.sh --only STAGE` on a copy of the finished run's artifacts, in the background."""

    def __init__(
        self,
        finished: Path,
        recipe: Path,
        folder: Path,
        stage: str,
        *words: str,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.place = folder / "a" / stage
        if not (folder / "a").exists():
            copy_artifacts(finished, folder / "a", until=stage)
        self.words = [recipe, "--run.artifacts", folder / "a", "--run.runs", folder / "r", "--only", stage]
        self.errors = folder / f"errors-{time.monotonic_ns()}"
        with self.errors.open("w") as errors:
            self.process: subprocess.Popen[bytes] = run_all(
                *self.words, *words, wait=False, stderr=errors, environment=environment
            )

    def until(self, pattern: str) -> "Launched":
        """Wait for a file of the stage's place in the store."""
        wait_for(lambda: any(self.place.glob(pattern)), self.process)
        return self

    def said(self) -> str:
        return self.errors.read_text()

    def published(self) -> Path:
        (found,) = (path.parent for path in self.place.glob("*/stage.json"))
        return found


def wait_for(happened: Callable[[], Any], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < end
        time.sleep(0.01)


def alive(pids: list[int]) -> list[int]:
    """Those that still run; one that only waits to be reaped does not."""
    stats = {pid: Path(f"/proc/{pid}/stat") for pid in pids}
    return [pid for pid, stat in stats.items() if stat.exists() and stat.read_text().rpartition(") ")[2][0] != "Z"]


def ranks_below(pid: int) -> dict[int, int]:
    """The process of each rank that a command launched."""
    ranks = {}
    for each in tree(pid):
        variables = Path(f"/proc/{each}/environ").read_bytes().split(b"\0")
        ranks.update({int(v.removeprefix(b"RANK=")): each for v in variables if v.startswith(b"RANK=")})
    return ranks


def curve(artifact: Path) -> list[dict[str, float]]:
    return json.loads((artifact / "stage.json").read_text())["metrics"]["curve"]


@pytest.mark.parametrize(("processes", "victim"), [(2, 0), (2, 1), (3, 1)])
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
    assert f"prepare_corpus failed: {tmp_path}/spoilt.txt:3 is not UTF-8" in stage.said()
    assert not list(stage.place.glob("*/stage.json"))


def test_asked_to_stop_all_go_and_another_number_of_processes_ends_with_the_same_loss(
    finished: Path, run_world: Path, tmp_path: Path
) -> None:
    often = ("--run.checkpoint_seconds", "0.001", "--distill_layers.epochs", "8", "--run.log_every", "1")
    recipe = run_world / "recipe.yaml"
    whole = Launched(finished, recipe, tmp_path, "distill_layers", *often)
    assert whole.process.wait(timeout=120) == 0
    stopped_in = tmp_path / "stopped"
    stage = Launched(finished, recipe, stopped_in, "distill_layers", *often).until("*.work/checkpoint-*[0-9]")
    group = tree(stage.process.pid)
    os.kill(stage.process.pid, signal.SIGTERM)
    assert stage.process.wait(timeout=60) == 75
    assert "the same command goes on" in stage.said()
    assert alive(group) == []
    again = Launched(finished, recipe, stopped_in, "distill_layers", *often, "--", "--num_processes", "2")
    assert again.process.wait(timeout=120) == 0
    assert "going on from step" in again.said()
    one, two = curve(whole.published()), curve(again.published())
    assert len(one) == len(two) > 50
    for name in one[0]:
        assert [point[name] for point in two] == pytest.approx([point[name] for point in one], abs=1e-4)


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


def test_an_input_that_changes_during_a_run_is_found_out(finished: Path, tmp_path: Path) -> None:
    world = tiny.make(tmp_path / "tiny").parent
    stage = Launched(finished, world / "recipe.yaml", tmp_path, "finetune_teacher").until("*.work/output")
    with (world / "rows.csv").open("a", encoding="utf-8") as rows:
        rows.write("The ending is new .,fresh,film 3\n")
    assert stage.process.wait(timeout=60) == 2
    assert (
        "rows.csv" in stage.said() and "changed while finetune_teacher read it; nothing was published" in stage.said()
    )
    assert not list(stage.place.glob("*/stage.json"))


def test_names_clock_language_and_home_change_nothing(finished: Path, tmp_path: Path) -> None:
    world = tiny.make(tmp_path / 'it\'s $(touch pwned) ; & "quoted" é' / "tiny").parent
    for path in world.rglob("*"):
        os.utime(path, (4e9, 4e9))  # written in the year 2096
    environment = {"LC_ALL": "C", "TZ": "Pacific/Kiritimati", "HOME": "/proc/nobody", "COLUMNS": "20"}
    (tmp_path / "elsewhere").mkdir()
    before = Path.cwd()
    os.chdir(tmp_path / "elsewhere")
    try:
        stage = Launched(finished, world / "recipe.yaml", world / "store", "finetune_teacher", environment=environment)
        assert stage.process.wait(timeout=120) == 0, stage.said()
    finally:
        os.chdir(before)
    assert list(differing((finished / "finetune_teacher").resolve(), stage.published())) == []
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_clock_that_jumps_between_a_kill_and_the_resume_changes_nothing(
    finished: Path, run_world: Path, tmp_path: Path
) -> None:
    recipe = run_world / "recipe.yaml"
    ahead, behind = (moved_clock(tmp_path / name, years=years) for name, years in (("ahead", 1), ("behind", -10)))
    often = ("--run.checkpoint_seconds", "0.001")
    stage = Launched(finished, recipe, tmp_path, "distill_layers", *often, environment=ahead)
    kill_tree(stage.until("*.work/checkpoint-*[0-9]").process.pid)
    again = Launched(finished, recipe, tmp_path, "distill_layers", *often, environment=behind)
    assert again.process.wait(timeout=120) == 0
    assert "going on from step" in again.said()
    assert list(differing((finished / "distill_layers").resolve(), again.published())) == []
    written = json.loads((again.published() / "stage.json").read_text())
    assert written["started"] < time.time() - 9 * YEAR
    assert 0 <= written["start_seconds"] < 120 and 0 < written["seconds"] < 240


def moved_clock(folder: Path, *, years: int) -> dict[str, str]:
    """An environment in which every Python process reads another year from its clock."""
    folder.mkdir()
    lines = ["import time", *(f"time.{name} = lambda now=time.{name}: now() + {years * YEAR * scale}"
             for name, scale in (("time", 1), ("time_ns", 10**9)))]  # fmt: skip
    (folder / "sitecustomize.py").write_text("\n".join(lines))
    return {"PYTHONPATH": str(folder)}
