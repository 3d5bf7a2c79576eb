"""Wrong options of the launcher are one sentence."""

import json
import sys
from pathlib import Path

import pytest

from pipeline.launch.accelerate_launch import main
from pipeline.launch.exit_status import STATUS_FILE


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--num_processes", "x"], "argument --num_processes/--num-processes: invalid int value: 'x'"),
        (["--num_processes", "1", "extra"], "'extra' is no option"),
        (["--num_proceses", "2"], "unrecognized arguments: --num_proceses"),
    ],
)
def test_wrong_options_are_one_sentence(
    options: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["accelerate_launch", *options, "-m", "stages", "prepare_corpus"])
    monkeypatch.setenv(STATUS_FILE, str(tmp_path / "status"))
    with pytest.raises(SystemExit, match="2"):
        main()
    said = f"the options of the launcher: {sentence}; `accelerate launch --help` lists them"
    assert capsys.readouterr().err == f"error: {said}\n"
    report = json.loads((tmp_path / "status.0").read_text())
    assert (report["status"], report["message"]) == (2, said)
