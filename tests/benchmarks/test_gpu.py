"""The benchmark of a GPU, on the CPU: parts are independent, and each leaves a log and figures."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import gpu


def measured(monkeypatch: pytest.MonkeyPatch, out: Path, runs: dict[str, list[str]], *options: str) -> tuple[int, dict]:
    """The exit status and the figures, where every part has these runs."""
    monkeypatch.setattr(gpu, "commands", lambda *_: runs)
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(out), *options])
    status = gpu.main()
    return status, json.loads((out / "figures.json").read_text(encoding="utf-8"))


def test_what_fails_costs_no_other_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runs = {"wrong": ["timeit", "raise ValueError('no')"], "right": ["timeit", "-n", "1", "print('here')"]}
    status, figures = measured(monkeypatch, tmp_path, runs, "--parts", "check", "augment")
    assert status == 1
    assert [figures[part][name]["status"] for part in ("check", "augment") for name in runs] == [1, 0, 1, 0]
    assert "ValueError: no" in (tmp_path / "check.log").read_text(encoding="utf-8")
    assert "here" in (tmp_path / "augment.log").read_text(encoding="utf-8")


def test_what_takes_too_long_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(gpu.LIMITS, "check", 0.5)
    slow = {"slow": ["timeit", "-n", "1", "__import__('time').sleep(60)"], "later": ["timeit", "-n", "1", "1"]}
    status, figures = measured(monkeypatch, tmp_path, slow, "--parts", "check")
    assert status == 1
    assert [figures["check"][name]["status"] for name in slow] == [None, None]
    assert "took too long" in capsys.readouterr().out


def test_every_part_has_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(gpu, "run", lambda words, *_, **__: asked.append(words) or {"status": 0, "seconds": 0.0})
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path)])
    assert gpu.main() == 0
    assert {words[0] for words in asked} >= {"pipeline", "benchmarks.speed", "benchmarks.compiled", "tests.faults"}
