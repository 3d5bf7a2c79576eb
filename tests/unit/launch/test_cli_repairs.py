"""`run_all.sh` where something is damaged or cannot be used; its stages are ones that publish a fake artifact."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.plan.stages import STAGES
from tests.helpers.published import plan_of, started


def flip(path: Path) -> None:
    """Another bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x80
    path.write_bytes(content)


def turn_a_digit(path: Path) -> None:
    """Another last bit of a digit: the file still reads, and says something else."""
    content = bytearray(path.read_bytes())
    place = next(place for place in range(len(content) - 1, 0, -1) if content[place : place + 1].isdigit())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flip, turn_a_digit])
def test_damaged_results_are_set_aside_with_a_sentence_and_made_again(
    world: Path, launched: list[str], capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    assert started(world) == 0
    damage(world / "runs/recipe/evaluate_student/results.json")
    assert started(world) == 1
    assert (
        "results.json is damaged and was set aside; the same command makes evaluate_student" in capsys.readouterr().err
    )
    assert started(world) == 0
    assert launched == [*STAGES, "evaluate_student", "export_student"]


def test_a_damaged_report_is_written_anew(world: Path, launched: list[str]) -> None:
    assert started(world) == 0
    report = world / "runs/recipe/report.html"
    whole = report.read_bytes()
    report.write_bytes(b"\xff" * 2000)
    assert started(world) == 0
    assert report.read_bytes() == whole


def test_threads_that_are_no_number_are_one_sentence(
    world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "abc")
    assert started(world) == 2
    assert "error: OMP_NUM_THREADS is 'abc': set it to a number of threads, or unset it\n" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["[]", '"text"', "3", "null", "{}", '{"files": []}', '{"hub:a@main": 3}'])
def test_json_of_another_shape_is_no_traceback(
    world: Path, launched: list[str], content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert started(world) == 0
    plan_of(world).stages["distill_layers"].artifact.folder.joinpath("stage.json").write_text(content)
    assert started(world, "--list") == 0
    assert "stage.json is missing or damaged" in capsys.readouterr().out
    assert started(world, "--student.width", "20", "--list") == 0  # which compares with what was published last
    (world / "runs/recipe/resolved.json").write_text(content)
    assert started(world, "--list") == (0 if content == "{}" else 2)


@pytest.mark.parametrize("folder", ["runs", "artifacts"])
def test_a_folder_that_cannot_be_written_is_one_sentence(
    world: Path, folder: str, launched: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (world / "file").touch()
    assert started(world, f"--run.{folder}", str(world / "file/folder")) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: run.{folder}: {world}/file may not be written, and prepare_corpus has to run; give")
    assert said.count("\n") == 1
    assert launched == []


@pytest.mark.parametrize("place", ["artifacts", "artifacts/cache", "runs/recipe"])
def test_a_file_in_the_place_of_a_folder_is_one_sentence(
    world: Path, place: str, launched: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (world / place).parent.mkdir(exist_ok=True)
    (world / place).touch()
    assert started(world, "--list") == 2
    setting = place.partition("/")[0]
    assert capsys.readouterr().err == (
        f"error: run.{setting}: {world}/{place} is a file, and a folder belongs there; move it away, or give another"
        f" folder (--run.{setting} FOLDER)\n"
    )


@pytest.mark.parametrize("left", ["lock_file", "work"])
def test_what_another_user_left_and_this_one_may_not_write_is_one_sentence(
    world: Path, left: str, launched: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = getattr(plan_of(world).stages["prepare_corpus"].artifact, left)
    path.mkdir(parents=True)
    access = os.access
    monkeypatch.setattr(os, "access", lambda where, mode: where != path and access(where, mode))
    assert started(world) == 2
    assert capsys.readouterr().err.startswith(
        f"error: run.artifacts: {path} may not be written, and prepare_corpus has to run; change its permissions, or"
    )
    assert launched == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full disk at hand")
def test_a_table_that_a_full_disk_does_not_take_is_a_failure(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        assert started(world, "--list") == 1
    assert capsys.readouterr().err == "failed: the table could not be written: No space left on device\n"
