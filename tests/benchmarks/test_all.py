"""All benchmarks in turn: what is measured at this commit is not measured again."""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks import all as every
from benchmarks import results, sweep
from pipeline import PROJECT
from pipeline.config.recipe_file import load_recipe
from pipeline.launch.options import DEFAULT_RECIPE


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modules that were run; each writes a figure. `benchmarks.memory` fails."""
    modules: list[str] = []

    def run(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        modules.append(words[2])
        Path(words[-1]).write_text(json.dumps([{"way": words[2], "score": 0.5}]))
        return subprocess.CompletedProcess(words, words[2] == "benchmarks.memory")

    monkeypatch.setattr(every.subprocess, "run", run)
    monkeypatch.setattr(results, "commit", lambda: "abcdef0")
    return modules


def test_a_part_is_measured_once_a_commit(launched: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert every.measured("fit", quick=False, folder=tmp_path)
    assert every.measured("fit", quick=False, folder=tmp_path)
    assert launched == ["benchmarks.fit"]
    known = results.read("fit", tmp_path)
    assert known and (known["command"], known["commit"]) == ("python -m benchmarks.fit", "abcdef0")
    assert known["figures"] == [{"way": "benchmarks.fit", "score": 0.5}]
    monkeypatch.setattr(results, "commit", lambda: "1234567")
    assert every.measured("fit", quick=False, folder=tmp_path)
    assert launched == ["benchmarks.fit"] * 2


@pytest.mark.parametrize("key", ["command", "machine"])
def test_by_another_command_or_machine_it_is_not_this_one_that_was_measured(
    key: str, launched: list[str], tmp_path: Path
) -> None:
    assert every.measured("fit", quick=False, folder=tmp_path)
    path = tmp_path / "fit.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: "another one"}))
    assert every.measured("fit", quick=False, folder=tmp_path)
    assert launched == ["benchmarks.fit"] * 2


def test_a_commit_made_meanwhile_measured_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = ["abcdef0"]

    def run(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commits.append("1234567")
        Path(words[-1]).write_text("[]")
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(every.subprocess, "run", run)
    monkeypatch.setattr(results, "machine", lambda: "a machine")
    monkeypatch.setattr(results, "commit", lambda: commits[-1])
    assert every.measured("fit", quick=False, folder=tmp_path)
    assert json.loads((tmp_path / "fit.json").read_text())["commit"] == "abcdef0"


def test_what_reads_finished_runs_has_no_time_of_its_own(launched: list[str], tmp_path: Path) -> None:
    for part, took in {"fit": True, "quality": False, "baselines": False, "starts": False, "methods": False}.items():
        assert every.measured(part, quick=False, folder=tmp_path)
        assert (json.loads((tmp_path / f"{part}.json").read_text())["seconds"] is not None) == took


def test_a_part_that_fails_leaves_no_figures(launched: list[str], tmp_path: Path) -> None:
    assert not every.measured("memory", quick=False, folder=tmp_path)
    assert results.read("memory", tmp_path) is None


def test_quick_leaves_out_what_takes_hours(launched: list[str], tmp_path: Path) -> None:
    assert every.measured("evidence", quick=True, folder=tmp_path)
    assert launched == []


def test_a_task_is_run_where_its_data_are(
    launched: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, folder = tmp_path / "sets", tmp_path / "results"
    assert every.measured("task_zh_reviews", quick=False, folder=folder, data=data)
    assert "== task_zh_reviews: not run: its data are not in" in capsys.readouterr().out
    assert launched == [] and results.read("task_zh_reviews", folder) is None
    for name in ("train", "dev"):
        path = data / "zh-reviews" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert every.measured("task_zh_reviews", quick=False, folder=folder, data=data)
    assert launched == ["benchmarks.tasks"]
    assert results.read("task_zh_reviews", folder) is not None


@pytest.mark.parametrize(
    "part", [part for part, of in every.PARTS.items() if of.command.startswith("benchmarks.sweep")]
)
def test_the_settings_that_a_sweep_varies_make_recipes(part: str) -> None:
    parser = sweep.argument_parser()
    given, overrides = parser.parse_known_args(shlex.split(every.PARTS[part].command)[1:])
    for settings in sweep.combinations(given.vary):
        load_recipe(given.recipe, [*overrides, *sweep.words_of(settings)])


@pytest.mark.parametrize("part", every.RUNS)
def test_a_run_has_the_name_under_which_it_is_read(part: str) -> None:
    words = shlex.split(every.PARTS[part].command)[1:]
    recipe = PROJECT / words.pop(0) if words and not words[0].startswith("-") else DEFAULT_RECIPE
    assert (load_recipe(recipe, words).name or recipe.stem) == every.RUNS[part]
