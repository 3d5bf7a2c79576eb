"""What tags of words mean, and which strings can be none."""

from pathlib import Path

import pytest

from pipeline.config.data import Task
from pipeline.data.tags import Tag, meanings
from pipeline.errors import UserError
from pipeline.tasks.labelled_data import read_task

NAMES = ("O", "B-thing", "I-thing")


def meant(*texts: str, known: tuple[str, ...] = ()) -> list[str]:
    return list(meanings([Tag(text, f"f:{n}") for n, text in enumerate(texts, 1)], known, where="f").values())


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        (("O", "B-PER", "I-PER"), ["O", "B-PER", "I-PER"]),
        (("o", "B-PER"), ["O", "B-PER"]),
        (("0", "B-PER"), ["O", "B-PER"]),
        (("", "PER", "O"), ["O", "PER", "O"]),
        (("o", "b-per", "i-per"), ["O", "B-per", "I-per"]),
        (("O", "S_PER", "L-PER"), ["O", "S_PER", "L-PER"]),
        (("O", "PER", "LOC"), ["O", "PER", "LOC"]),
        (("B", "I", "O"), ["B", "I", "O"]),
    ],
)
def test_ways_to_write_tags_are_known(texts: tuple[str, ...], names: list[str]) -> None:
    assert meant(*texts) == names


def test_numbers_are_looked_up_in_the_recipe_s_names() -> None:
    assert meant("1", "0", "2", known=NAMES) == ["B-thing", "O", "I-thing"]
    assert meant("NOUN", "VERB", known=("NOUN", "VERB")) == ["NOUN", "VERB"]


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (("0", "1"), "f:1 holds the tag number 0; name the tags, from 0 on, in task.labels"),
        (("O", "B-PER", "b-loc"), "f:3 holds 'b-loc', no tag beside 'B-PER'"),
        (("O", "B-PER", "film"), "f:3 holds 'film', no tag beside 'B-PER'"),
        (("O", "B-PER", "B-"), "f:3 holds 'B-', no tag beside"),
        (("O", "B-PER", "_"), "f:3 holds '_', no tag beside"),
        (("the", "film", "is"), "f holds 'the', 'film', 'is', which are no tags: none has a prefix such as B-, and no"),
        (("O", *map("w{}".format, range(200))), "which are no tags: none has a prefix such as B-, and more than 100"),
        (("*", "(PER*", "*)"), "which are no tags"),
    ],
)
def test_strings_that_can_be_no_tags_are_one_sentence(texts: tuple[str, ...], says: str) -> None:
    with pytest.raises(UserError) as error:
        meant(*texts)
    assert says in str(error.value)


COLUMNS = [("the", "O"), ("joke", "B-thing"), ("of", "I-thing"), ("scene", "I-thing"), ("is", "O"), ("film", "B-thing")]


def read(folder: Path, rows: list[tuple[str, ...]], **settings: object) -> dict:
    path = folder / "train.conll"
    sentence = "".join("\t".join(row) + "\n" for row in rows) + "\n"
    path.write_text(sentence * 6, encoding="utf-8")
    task = Task(kind="token_classification", **settings)  # pyright: ignore[reportArgumentType]
    data = read_task(task, {split: [path] for split in ("train", "dev", "test")})
    return {"names": data.label_names, "tags": data.splits["train"][0].label, "text": data.splits["train"][0].texts[0]}


RIGHT = {"names": NAMES, "tags": tuple(tag for _, tag in COLUMNS), "text": "the joke of scene is film"}


def test_a_file_with_the_tag_first_names_both_columns(tmp_path: Path) -> None:
    rows = [(tag, word) for word, tag in COLUMNS]
    with pytest.raises(
        UserError, match=r"column 0 holds tags, such as 'O', not words; set task.text to .* task.text: 1"
    ):
        read(tmp_path, rows)
    assert read(tmp_path, rows, text="1", label="0") == RIGHT


def test_tags_as_numbers_go_by_the_recipe_s_labels(tmp_path: Path) -> None:
    rows = [(word, str(NAMES.index(tag))) for word, tag in COLUMNS]
    with pytest.raises(UserError, match=r"train.conll:1: the column of the tags holds the tag number 0; name the tags"):
        read(tmp_path, rows)
    assert read(tmp_path, rows, labels=NAMES) == RIGHT


@pytest.mark.parametrize("outside", ["O", "o", "0"])
def test_other_ways_to_write_outside_are_no_type(tmp_path: Path, outside: str) -> None:
    assert read(tmp_path, [(word, outside if tag == "O" else tag) for word, tag in COLUMNS]) == RIGHT


def test_a_column_after_the_tags_is_named(tmp_path: Path) -> None:
    rows = [(word, tag, word.upper()) for word, tag in COLUMNS]
    with pytest.raises(
        UserError, match=r"which are no tags.*column 2 was read; column 1 can be tags: set task.label: 1"
    ):
        read(tmp_path, rows)
    assert read(tmp_path, rows, label="1") == RIGHT


def conll_u() -> list[tuple[str, ...]]:
    rows = [(str(n), word, word, "NOUN", "NN", "_", "0", "root", "_", "_") for n, (word, _) in enumerate(COLUMNS, 1)]
    return [("1-2", "thejoke", *["_"] * 8), *rows]


def test_conll_u_is_refused_with_the_column_of_its_words(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"column 0 holds numbers, such as '1', not words; set .* task.text: 1"):
        read(tmp_path, conll_u())
    with pytest.raises(UserError, match="holds 'NOUN', which are no tags"):
        read(tmp_path, conll_u(), text="1", label="3")
    found = read(tmp_path, conll_u(), text="1", label="3", labels=["NOUN"])
    assert found["text"] == RIGHT["text"]  # without the line of two words in one


def test_a_column_that_says_the_same_in_every_line_holds_no_words(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="column 0 holds the same in every line, such as 'doc1', not words"):
        read(tmp_path, [("doc1", word, tag) for word, tag in COLUMNS])


def test_a_chunk_column_does_not_stand_for_tags_without_prefixes(tmp_path: Path) -> None:
    rows = [(word, "B-NP", "O" if tag == "O" else "thing") for word, tag in COLUMNS]
    assert read(tmp_path, rows)["names"] == NAMES
