"""Tables whose rows are lists of words and of tags: what is read, and what is one sentence."""

import csv
import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.tagged_files import SENTENCES, complaint, sentences


def write_csv(path: Path, *rows: tuple[str, str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


@pytest.mark.parametrize("name", ["train.jsonl.xz", "train.JSONL.XZ", "train.json.xz"])
def test_compressed_tables_are_tables(tmp_path: Path, name: str) -> None:
    rows = [json.dumps({"text": text.split(), "label": tags}) for text, tags in SENTENCES]
    (tmp_path / name).write_bytes(lzma.compress("\n".join(rows).encode()))
    assert sentences(tmp_path / name) == SENTENCES


@pytest.mark.parametrize("write", [json.dumps, repr, " ".join])
def test_a_csv_may_hold_lists_as_text(tmp_path: Path, write: Any) -> None:
    rows = [(write(text.split()), write(list(tags))) for text, tags in SENTENCES]
    assert sentences(write_csv(tmp_path / "train.csv", *rows)) == SENTENCES


def test_a_csv_may_hold_tags_by_number_as_text(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "train.csv", ("['EU', 'rejects']", "[1, 0]"))
    assert sentences(path, labels=("O", "B-ORG", "I-ORG")) == SENTENCES[:1]


def test_words_in_brackets_are_words(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "train.csv", ("[ EU rejects ]", "O B-ORG O O"))
    assert sentences(path) == [("[ EU rejects ]", ("O", "B-ORG", "O", "O"))]


@pytest.mark.parametrize(("word", "shown"), [("null", "null"), ("NaN", "nan"), ('["a"]', "['a']"), ("{}", "{}")])
def test_an_item_that_is_no_word_is_one_sentence(tmp_path: Path, word: str, shown: str) -> None:
    content = f'{{"text": ["EU", {word}], "label": ["B-ORG", "O"]}}\n'
    said = complaint(tmp_path / "train.jsonl", content)
    assert f"train.jsonl:1: column 'text' holds {shown} among its words; write a text for each word" in said


@pytest.mark.parametrize(
    "row",
    [
        ("['EU' 'rejects']", "B-ORG O"),
        ("EU rejects", "['B-ORG' \"O\"]"),
        ("EU rejects", "[1 0]"),
        ("['EU'\n 'rejects' ... 'call']", "B-ORG O"),
    ],
)
def test_a_list_as_numpy_prints_it_is_one_sentence(tmp_path: Path, row: tuple[str, str]) -> None:
    content = write_csv(tmp_path / "train.csv", row).read_text(encoding="utf-8")
    assert "; separate the items by commas, as JSON does" in complaint(tmp_path / "train.csv", content)


def test_a_table_of_a_word_a_row_is_one_sentence(tmp_path: Path) -> None:
    rows = [*[("EU", "B-ORG"), ("rejects", "O")] * 10, ("call", "O")]
    content = write_csv(tmp_path / "train.csv", *rows).read_text(encoding="utf-8")
    assert "train.csv: each of the 21 rows is one word, and a row is a sentence" in (
        complaint(tmp_path / "train.csv", content)
    )
    assert len(sentences(write_csv(tmp_path / "train.csv", *rows[1:]))) == 20
    assert len(sentences(write_csv(tmp_path / "train.csv", *rows, ("EU rejects", "B-ORG O")))) == 22


def test_a_table_without_a_header_line_takes_the_recipe_s(tmp_path: Path) -> None:
    assert sentences(tmp_path / "train.csv", "B-ORG O,EU rejects\n", header=("label", "text")) == SENTENCES[:1]


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ({"entities": [[0, 2, "ORG"]]}, "column 'label' holds {'entities': [[0, 2, 'ORG']]}, which marks characters"),
        ([{"start": 0, "end": 2, "label": "ORG"}], "which marks characters"),
        ("[(0, 2, 'ORG')]", "column 'label' holds (0, 2, 'ORG'), which marks characters"),
        ([["B-ORG", "O"], ["O"]], "a table by columns is written row by row with orient='records'"),
    ],
)
def test_marks_of_characters_are_no_tags(tmp_path: Path, label: Any, says: str) -> None:
    content = json.dumps({"text": ["EU", "rejects"], "label": label})
    assert says in complaint(tmp_path / "train.jsonl", content)


def test_numbers_of_tags_may_have_a_fraction_of_nothing(tmp_path: Path) -> None:
    content = json.dumps({"text": ["EU", "rejects"], "label": [1.0, 0.0]})
    assert sentences(tmp_path / "train.jsonl", content, labels=("O", "B-ORG", "I-ORG")) == SENTENCES[:1]
