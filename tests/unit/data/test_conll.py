"""Words and tags as other programs write them: what is read, and what is one sentence."""

import csv
import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.data import Task
from pipeline.data.conll import read_unlabelled
from pipeline.data.examples import Columns
from pipeline.data.word_lists import parse_tags
from pipeline.errors import UserError
from pipeline.tasks.labelled_data import read_task

CONLL = "EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\nBlackburn\tI-PER\n"
SENTENCES = [("EU rejects", ("B-ORG", "O")), ("Peter Blackburn", ("B-PER", "I-PER"))]


def sentences(path: Path, content: str = "", **settings: Any) -> list[tuple[str, Any]]:
    """What a file holds, by a task whose three splits it is."""
    if content:
        path.write_text(content, encoding="utf-8")
    task = Task(kind="token_classification", **settings)
    data = read_task(task, {split: [path] for split in ("train", "dev", "test")})
    return [(example.texts[0], example.label) for example in data.splits["train"]]


def complaint(path: Path, content: str, **settings: Any) -> str:
    with pytest.raises(UserError) as error:
        sentences(path, content, **settings)
    return str(error.value)


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


@pytest.mark.parametrize(
    ("header", "settings"),
    [
        ("token\ttag", {"label": "tag"}),
        ("token\ttag", {"text": "token"}),
        ("token\ttag", {"text": "token", "label": "tag"}),
        ("token\ttag", {"text": "0", "label": "tag"}),
        ("token tag", {"text": "token", "label": "1"}),
        ("text\tlabel", {}),
    ],
)
def test_columns_are_found_by_the_names_of_a_header_line(tmp_path: Path, header: str, settings: dict) -> None:
    assert sentences(tmp_path / "train.conll", f"{header}\n{CONLL}", **settings) == SENTENCES
    assert sentences(tmp_path / "train.conll", f"\n{header}\n\n{CONLL}", **settings) == SENTENCES


def test_named_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    content = "number\ttag\ttoken\tmore\n" + "1\tB-ORG\tEU\n2\tO\trejects\tx\n\n1\tB-PER\tPeter\n2\tI-PER\tBlackburn\n"
    assert sentences(tmp_path / "train.conll", content, text="token", label="tag") == SENTENCES


@pytest.mark.parametrize("header", ["text\tlabel", "token\ttag", "Word\tNER"])
def test_a_header_line_is_no_word_of_a_text_without_tags(tmp_path: Path, header: str) -> None:
    assert unlabelled(tmp_path / "words.conll", f"{header}\n{CONLL}") == [(text, True) for text, _ in SENTENCES]


@pytest.mark.parametrize(
    ("name", "content", "parted"),
    [
        ("rows.txt", "EU rejects\nPeter Blackburn\n", False),
        ("rows.txt", "\nEU rejects\n\nPeter Blackburn", True),  # as many words in each line: words and something else
        ("rows.tsv", "text\tnumber\nEU rejects\t1\nPeter Blackburn\t2\n", False),
        ("rows.tsv", "text\nEU rejects\nPeter Blackburn\n", False),
        ("rows.conll", CONLL.replace("\t", " "), True),
        ("rows.conll", "EU\nrejects\n\nPeter\nBlackburn\n", True),
    ],
)
def test_texts_without_tags_are_words_or_lines(tmp_path: Path, name: str, content: str, parted: bool) -> None:
    texts = [text for text, _ in SENTENCES] if not content.startswith("\n") else ["EU", "Peter"]
    assert unlabelled(tmp_path / name, content) == [(text, parted) for text in texts]
    (tmp_path / "train.conll").write_text(CONLL, encoding="utf-8")
    files = dict.fromkeys(("train", "dev", "test"), (tmp_path / "train.conll",))
    data = read_task(Task(kind="token_classification"), files | {"unlabelled": (tmp_path / name,)})
    assert [example.texts[0] for example in data.splits["unlabelled"]] == texts


def unlabelled(path: Path, content: str) -> list[tuple[str, bool]]:
    path.write_text(content, encoding="utf-8")
    columns = Columns(
        texts=("text",), label="", group=None, answer=parse_tags, drop_labels=frozenset(), skip_empty=False
    )
    return list(read_unlabelled(path, columns))


def test_a_header_line_that_lacks_a_column_is_one_sentence(tmp_path: Path) -> None:
    said = complaint(tmp_path / "train.conll", f"token\ttag\n{CONLL}", text="tokens", label="tag")
    assert "train.conll:1: no column 'tokens'; did you mean 'token'?" in said


def test_without_a_header_line_names_stand_for_the_first_and_the_last_column(tmp_path: Path) -> None:
    assert sentences(tmp_path / "train.conll", CONLL, text="token", label="tag") == SENTENCES


def test_a_tab_or_blank_at_the_end_of_a_line_is_no_tag(tmp_path: Path) -> None:
    for end in ("\t\n", " \n", "\t \t\n"):
        lines = [line + end if line else "\n" for line in CONLL.splitlines()]
        assert sentences(tmp_path / "train.conll", "".join(lines)) == SENTENCES
    assert "train.conll:6: 1 columns where 2 are needed" in complaint(tmp_path / "train.conll", CONLL + "lies\t\n")


def test_a_table_of_a_word_a_row_is_one_sentence(tmp_path: Path) -> None:
    rows = [*[("EU", "B-ORG"), ("rejects", "O")] * 10, ("call", "O")]
    content = write_csv(tmp_path / "train.csv", *rows).read_text(encoding="utf-8")
    assert "train.csv: each of the 21 rows is one word, and a row is a sentence" in (
        complaint(tmp_path / "train.csv", content)
    )
    assert len(sentences(write_csv(tmp_path / "train.csv", *rows[1:]))) == 20
    assert len(sentences(write_csv(tmp_path / "train.csv", *rows, ("EU rejects", "B-ORG O")))) == 22


@pytest.mark.parametrize(("name", "content"), [("train.json", "[]"), ("train.jsonl", "\n"), ("train.conll", "\n")])
def test_a_file_without_a_row_is_one_sentence(tmp_path: Path, name: str, content: str) -> None:
    assert (
        complaint(tmp_path / name, content)
        == "task.train: no train row is left; the files are empty, or every row was left out"
    )


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


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"header": ("text", "label")}, "task.header: "),
        ({"drop_labels": ("O",)}, "task.drop_labels: a sentence has a tag for each word"),
        ({"text_pair": "other"}, "task.text_pair: words with tags have no second text; leave it out"),
    ],
)
def test_settings_that_tags_do_not_have_are_one_sentence(tmp_path: Path, settings: dict, words: str) -> None:
    assert complaint(tmp_path / "train.conll", CONLL, **settings).startswith(words)
