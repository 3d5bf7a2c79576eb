"""What is around a real stage: changing inputs, an odd environment, a launcher's own configuration, a clock that jumps.
Each stage starts from the artifacts of the finished run."""

import json
import os
import time
from pathlib import Path

import pytest

from tests import tiny
from tests.faults import differing
from tests.helpers.commands import kill_tree
from tests.helpers.launched import Launched

pytestmark = pytest.mark.slow
YEAR = 365 * 24 * 3600


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


def test_the_launcher_s_configuration_changes_no_number(finished: Path, run_world: Path, tmp_path: Path) -> None:
    launcher = ["--mixed_precision", "bf16", "--dynamo_backend", "eager", "--gradient_accumulation_steps", "4"]
    environment = {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"}
    stage = Launched(
        finished, run_world / "recipe.yaml", tmp_path, "distill_layers", "--", *launcher, environment=environment
    )
    assert stage.process.wait(timeout=120) == 0, stage.said()
    assert list(differing((finished / "distill_layers").resolve(), stage.published())) == []


def test_another_way_to_share_a_model_is_refused(finished: Path, run_world: Path, tmp_path: Path) -> None:
    environment = {"ACCELERATE_USE_FSDP": "true"}
    stage = Launched(finished, run_world / "recipe.yaml", tmp_path, "distill_layers", environment=environment)
    assert stage.process.wait(timeout=120) == 2
    assert "distill_layers failed: the launcher's options or ACCELERATE_USE_FSDP ask for FSDP" in stage.said()
    assert "Traceback" not in stage.said()


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
