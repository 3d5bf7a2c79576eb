"""All benchmarks in turn: what is measured at this commit is not measured again."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks import all as every
from benchmarks import results


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


def test_a_part_that_fails_leaves_no_figures(launched: list[str], tmp_path: Path) -> None:
    assert not every.measured("memory", quick=False, folder=tmp_path)
    assert results.read("memory", tmp_path) is None


def test_quick_leaves_out_what_takes_hours(launched: list[str], tmp_path: Path) -> None:
    assert every.measured("evidence", quick=True, folder=tmp_path)
    assert launched == []
