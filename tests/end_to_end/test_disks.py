"""Full disks and disks that cannot be written: real ones, small and in memory."""

import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.launch.cli import main
from pipeline.plan.plan import make_plan
from tests import tiny
from tests.faults import differing
from tests.helpers.commands import copy_artifacts, run_all
from tests.helpers.disks import MEGABYTE, Disk, fill
from tests.helpers.published import publish


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_stage_on_a_full_disk_says_so_once_and_goes_on_when_there_is_space(
    finished: Path, run_world: Path, tmp_path: Path, disk: Disk, processes: int
) -> None:
    store = disk(8 * MEGABYTE)
    copy_artifacts(finished, store / "a", until="distill_layers")
    ballast = fill(store, leave=40 * 1024)
    words = [run_world / "recipe.yaml", "--run.artifacts", store / "a", "--run.runs", tmp_path / "r",
             "--run.checkpoint_seconds", "0.001", "--only", "distill_layers", "--", "--num_processes",
             str(processes)]  # fmt: skip
    stopped = run_all(*words)
    assert stopped.returncode == 1
    assert "No space left on device; mend that, and the same command goes on" in stopped.stderr.splitlines()[-3]
    assert stopped.stderr.splitlines()[-3].startswith("distill_layers failed: /")
    assert "stages/distill_layers.py" not in stopped.stderr  # no traceback
    ballast.unlink()
    assert run_all(*words).returncode == 0
    (ours,) = (path.parent for path in (store / "a" / "distill_layers").glob("*/stage.json"))
    if processes == 1:
        assert list(differing((finished / "distill_layers").resolve(), ours)) == []


def test_a_disk_that_cannot_be_written_is_one_sentence_and_a_finished_run_needs_no_more(
    disk: Disk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = tiny.make(disk(16 * MEGABYTE) / "tiny").parent
    publish(make_plan(world / "recipe.yaml", checked=False))
    assert main([str(world / "recipe.yaml")]) == 0
    subprocess.run(["mount", "-o", "remount,ro", str(world.parent)], check=True)
    assert main([str(world / "recipe.yaml")]) == 0
    capsys.readouterr()
    for words in (["--seed", "1"], ["--force", "augment_data"]):
        assert main([str(world / "recipe.yaml"), *words]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"error: run.artifacts: {world}/artifacts/") and "may not be written" in said
        assert said.count("\n") == 1
    own = ["--seed", "1", "--run.artifacts", str(tmp_path / "a")]
    assert main([str(world / "recipe.yaml"), *own]) == 2
    assert capsys.readouterr().err.startswith(f"error: run.runs: {world}/runs/recipe may not be written")


def test_a_copy_of_a_finished_run_on_a_disk_that_cannot_be_written_is_shown(
    disk: Disk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = tiny.make(tmp_path / "tiny").parent
    publish(make_plan(world / "recipe.yaml", checked=False))
    assert main([str(world / "recipe.yaml")]) == 0
    copy = disk(16 * MEGABYTE)
    for folder in ("runs", "artifacts"):
        shutil.copytree(world / folder, copy / folder, symlinks=True)
    subprocess.run(["mount", "-o", "remount,ro", str(copy)], check=True)
    places = ["--run.runs", str(copy / "runs"), "--run.artifacts", str(copy / "artifacts")]
    assert main([str(world / "recipe.yaml"), *places]) == 0
    assert "nothing was launched" in capsys.readouterr().err
