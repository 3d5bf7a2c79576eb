"""One log for each stage, whatever the pieces in which the output of a launch comes."""

import os
import threading
from pathlib import Path

import pytest

from pipeline.launch.stage_logs import LOGGED, StageLogs, mark

ODD = b"two \x1e odd \x1f\n"
OUTPUT = b"imports\n\x1efirst\x1fone\n\x1esecond\x1f" + ODD + b"\x1enone\x1fof these\n\x1ethird\x1f\x1efourth\x1ffour"


@pytest.mark.parametrize("piece", [1, 7, len(OUTPUT)])
def test_each_stage_s_output_goes_to_its_log(tmp_path: Path, piece: int, capfdbinary: pytest.CaptureFixture) -> None:
    begun: list[str] = []
    logs = StageLogs(tmp_path / "logs", ["first", "second", "third", "fourth"], begun.append)
    reader, writer = os.pipe()

    def write() -> None:
        for start in range(0, len(OUTPUT), piece):
            os.write(writer, OUTPUT[start : start + piece])
        os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    logs.copy(reader)
    thread.join()
    os.close(reader)
    assert begun == ["second", "third", "fourth"]
    assert logs.path == tmp_path / "logs/fourth.log"
    written = {path.stem: path.read_bytes() for path in logs.folder.iterdir()}
    assert written == {"first": b"imports\none\n", "second": ODD + b"of these\n", "third": b"", "fourth": b"four"}
    assert capfdbinary.readouterr() == (b"", b"imports\none\n" + ODD + b"of these\nfour")


def test_machines_that_share_a_disk_have_a_log_each(tmp_path: Path) -> None:
    assert StageLogs(tmp_path, ["stage"], machine=0).path == tmp_path / "stage.log"
    assert StageLogs(tmp_path, ["stage"], machine=1).path == tmp_path / "stage.machine-1.log"


def test_a_mark_is_for_who_reads_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.delenv(LOGGED, raising=False)
    mark("stage")
    assert capsys.readouterr().err == ""
    monkeypatch.setenv(LOGGED, "1")
    mark("stage")
    assert capsys.readouterr().err == "\x1estage\x1f"
