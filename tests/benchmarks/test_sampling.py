"""How fast variants are written: without candidates one sentence says what to run."""

from pathlib import Path

import pytest

from benchmarks import sampling
from pipeline.errors import BAD_INPUT, status_of


@pytest.mark.parametrize("named", [True, False])
def test_where_nothing_was_run_one_sentence_says_what_to_run(
    named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sampling, "candidates_of", lambda *_: tmp_path)
    monkeypatch.setattr("sys.argv", ["sampling", *(["--candidates", str(tmp_path)] if named else [])])
    assert status_of(sampling.main) == BAD_INPUT
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "--until propose_candidates" in said
