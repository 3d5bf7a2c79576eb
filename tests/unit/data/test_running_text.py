"""Which files without tags are lines of text, and which are words."""

from pathlib import Path

import pytest

from pipeline.data.running_text import is_running_text


@pytest.mark.parametrize(
    ("content", "running"),
    [
        ("the film is good\nit ends\n", True),
        ("the film\nit ends\n", True),
        ("the film is good\n\nit ends\n", True),
        ("the O\nfilm B-x\n\nit O\n", False),
        ("the DET\nfilm NOUN\n\nit PRON\n", False),
        ("the\tO\nfilm\tB-x\n", False),
        ("the\nfilm\n\nit\n", False),
        ("# id = 7\nthe O\nfilm B-x\n", False),
        ("", False),
    ],
)
def test_lines_of_text_are_told_from_words(tmp_path: Path, content: str, running: bool) -> None:
    (tmp_path / "rows.txt").write_text(content, encoding="utf-8")
    assert is_running_text(tmp_path / "rows.txt") is running
