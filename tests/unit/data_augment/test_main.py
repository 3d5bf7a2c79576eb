"""The command `python -m data_augment`: what it says, shows and refuses."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from data_augment.__main__ import main
from pipeline import PROJECT
from tests.helpers.alone import run, texts_of


@pytest.mark.parametrize("name", ["data/*.parquet", "settings.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"PAR1\xff\xffPAR1"])
def test_damaged_candidates_are_one_sentence(
    world: Path, tmp_path: Path, name: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    candidates = shutil.copytree(world / "candidates", tmp_path / "candidates")
    damaged = next(candidates.glob(name))
    damaged.write_bytes(content)
    assert run(world, "sample", "--candidates", str(candidates), "--output", str(tmp_path / "augmented")) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {damaged} is damaged")


def test_without_a_variant_the_command_says_why(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (world / "zh.csv").write_text("text\n这家酒店很好\n服务态度很差\n", encoding="utf-8")
    assert run(world, "propose", "--input", "zh.csv", "--output", "zh", "--language", "zh") == 0
    assert "language: zh (as given)" in capsys.readouterr().err
    assert run(world, "sample", "--input", "zh.csv", "--candidates", "zh", "--output", "zh_augmented") == 0
    said = capsys.readouterr()
    assert "2 originals, 0 variants" in said.out
    assert "warning: no variant of 2 examples: no word has a candidate. The language was taken for zh" in said.err
    assert run(world, "sample", "--output", "none_replaced", "-p", "0") == 0
    assert "each one was left out ({'equal_to_original': 120})" in capsys.readouterr().err


def test_candidates_of_other_texts_are_named_as_the_cause(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (world / "other.csv").write_text("text\nsome other film\nanother one\n", encoding="utf-8")
    assert run(world, "sample", "--input", "other.csv", "--output", "other") == 0
    said = capsys.readouterr().err
    assert f"0 of 2 texts are in {world / 'candidates'}, which was made from other texts" in said
    assert "equal_to_original" not in said


def test_chinese_texts_under_another_language_are_refused(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (world / "zh.csv").write_text("text\n这家酒店很好\n", encoding="utf-8")
    assert run(world, "propose", "--input", "zh.csv", "--output", "zh_en", "--language", "en") == 2
    assert "is en, but 1 of 1 texts are written without blanks" in capsys.readouterr().err


def test_a_reader_of_show_may_go(world: Path, tmp_path: Path) -> None:
    assert run(world, "sample", "--output", str(tmp_path / "augmented")) == 0
    show = f"{sys.executable} -m data_augment show {tmp_path}/augmented | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", show], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    next((tmp_path / "augmented/data").glob("*")).write_bytes(b"PAR1")
    assert main(["show", str(tmp_path / "augmented")]) == 2


def test_show_marks_what_was_replaced(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(world, "sample", "--output", "shown") == 0
    capsys.readouterr()
    assert main(["show", str(world / "shown"), "--example", "3"]) == 0
    original, *variants = capsys.readouterr().out.splitlines()
    assert original == f"original   text: {texts_of(world)[3]}"
    assert variants and all(line.startswith("variant ") and " -> " in line for line in variants)


@pytest.mark.parametrize(
    ("command", "options", "words"),
    [
        ("propose", ["--output", "new", "--masked-lm", "rows.csv"], "rows.csv is no model"),
        ("propose", ["--output", "new", "--masked-lm", "no_tokenizer"], "no_tokenizer"),
        ("propose", ["--output", "new", "--input", "row.csv"], "row.csv: no such file"),
        ("propose", ["--output", "new", "--input", "model"], "model: a folder; name a table in it"),
        ("propose", ["--output", "new", "--stop-words", "/"], "/: Is a directory; give another path"),
        ("propose", ["--output", "new", "--pair-column", "text"], "--pair-column: 'text' is the text's column; name"),
        ("sample", ["--output", "rows.csv/new"], "rows.csv is a file, in which no folder can be; give another folder"),
        ("propose", ["--output", "new", "--text-column", "txt"], "rows.csv:1: no column 'txt'; did you mean 'text'?"),
        ("propose", ["--output", "new", "--protect", "("], "protect: '(' is no regular expression: "),
        ("propose", ["--output", "new", "-k", "0"], "k: 0 does not fit: Input should be greater than or equal to 1"),
        ("propose", ["--output", "new", "--beam", "0"], "beam: 0 does not fit: Input should be"),
        ("propose", ["--output", "new", "--vector-words", "0"], "vector_words: 0 does not fit: Input should be"),
        ("propose", ["--output", "model"], "model is not empty and no folder of candidates; give another one"),
        ("sample", ["--output", "model"], "model exists; give a new folder"),
        ("sample", ["--output", "new", "-p", "1.5"], "p is 1.5; a probability lies between 0 and 1"),
        ("sample", ["--output", "new", "-n", "-1"], "-1 variants; give 0 or more"),
        ("sample", ["--output", "new", "--candidates", "model"], "model: not a whole candidates folder"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    world: Path, command: str, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(world, command, *options) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ") and words in said
    assert not (world / "new").exists()


def test_an_example_that_is_not_there_is_one_sentence(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(world / "model")]) == 2
    assert "is no augmented dataset: it has no data/train-*.parquet" in capsys.readouterr().err
