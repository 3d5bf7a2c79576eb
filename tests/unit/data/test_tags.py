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
        (("O", "B-n\u00e9", "I-ne\u0301", "B-n\u00e9\u200b"), ["O", "B-n\u00e9", "I-n\u00e9", "B-n\u00e9"]),
    ],
)
def test_ways_to_write_tags_are_known(texts: tuple[str, ...], names: list[str]) -> None:
    assert meant(*texts) == names


def test_numbers_are_looked_up_in_the_recipe_s_names() -> None:
    assert meant("1", "0", "2", known=NAMES) == ["B-thing", "O", "I-thing"]
    assert meant("1.0", "0.0", known=NAMES) == ["B-thing", "O"]
    assert meant("1", "0", "2", known=("o", "b-thing", "i-thing")) == ["B-thing", "O", "I-thing"]
    assert meant("NOUN", "VERB", known=("NOUN", "VERB")) == ["NOUN", "VERB"]
    with pytest.raises(UserError, match=r"f holds numbers of tags, and task.labels lacks O, the tag outside of all"):
        meant("0", "1", known=("B-thing", "I-thing"))
    with pytest.raises(UserError, match="f: all tags are -1; -1 stands for a label that is kept secret"):
        meant("-1", known=NAMES)


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
        (("O", "B:PER", "I:PER"), "f holds 'B:PER' and 'I:PER', whose prefixes are not read; write them as in B-PER"),
        (("O", "PER-B", "PER-I"), "f holds 'PER-B' and 'PER-I', whose prefixes are not read"),
        (("O", "BPER", "IPER"), "f holds 'BPER' and 'IPER', whose prefixes are not read"),
        (
            ("O", "B-PER", "B-P\u200bER"),
            r"f:3 holds the tag 'B-P\u200bER', elsewhere written 'B-PER'",
        ),
    ],
)
def test_strings_that_can_be_no_tags_are_one_sentence(texts: tuple[str, ...], says: str) -> None:
    with pytest.raises(UserError) as error:
        meant(*texts)
    assert says in str(error.value)


def test_where_tags_have_no_prefix_o_is_no_rare_one() -> None:
    words = [Tag("O", "f:1", 2), Tag("good", "f:2", 7)]
    with pytest.raises(UserError, match=r"f holds 'good', which are no tags: .* 'good' stands 7 times, O, .* 2 times"):
        meanings(words, (), where="f")
    assert meanings(words, ("O", "good"), where="f") == {"O": "O", "good": "good"}


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


@pytest.mark.parametrize("labels", [("o", "b-thing", "i-thing"), ("0", "thing")])
def test_the_recipe_s_labels_may_write_outside_otherwise(tmp_path: Path, labels: tuple[str, ...]) -> None:
    lower = labels[0] == "o"
    rows = [(word, tag.lower() if lower else tag.removeprefix("B-").removeprefix("I-")) for word, tag in COLUMNS]
    assert read(tmp_path, rows, labels=labels)["names"] == NAMES


def test_a_tag_first_without_prefixes_is_found_by_what_words_do_not_do(tmp_path: Path) -> None:
    rows = [("O", word) for word in ("O", "the", "joke", "of")] + [("thing", "scene")]
    with pytest.raises(UserError, match=r"column 0 holds the same in most .*set .* task.text: 1 and task.label: 0"):
        read(tmp_path, rows)


def test_the_language_before_each_word_is_no_part_of_it(tmp_path: Path) -> None:
    rows = [(f"en:{word}{n}", tag) for n in range(5) for word, tag in COLUMNS]
    with pytest.raises(UserError, match=r"train.conll: each word begins with 'en:', which is no part of it; remove it"):
        read(tmp_path, rows)


@pytest.mark.parametrize("names", [("Word", "Tag"), ("token", "ner")])
def test_a_line_of_names_that_the_recipe_does_not_give_is_no_sentence(tmp_path: Path, names: tuple[str, str]) -> None:
    rows = [names, *((word, tag.removeprefix("B-").removeprefix("I-")) for word, tag in COLUMNS)]
    says = f"train.conll:1: this line names the columns; set task.text: {names[0]} and task.label: {names[1]}"
    with pytest.raises(UserError, match=says):
        read(tmp_path, rows)


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


@pytest.mark.parametrize(
    ("rows", "tags", "known"),
    [
        (("O S S O", "O P O"), ("O B-S I-S O", "O B-P O"), ()),
        (("O B I L", "O U O", "B I O"), ("O B-ENTITY I-ENTITY I-ENTITY", "O B-ENTITY O", "B-ENTITY I-ENTITY O"), ()),
        (("O B M E", "O S"), ("O B-ENTITY I-ENTITY I-ENTITY", "O B-ENTITY"), ()),
        (("B M E", "S S"), ("B-ENTITY I-ENTITY I-ENTITY", "B-ENTITY B-ENTITY"), ("B", "M", "E", "S")),
        (("O S S", "O O"), ("O B-S I-S", "O O"), ("O", "S", "P")),
    ],
    ids=["types", "BILOU", "BMES", "BMES without O", "listed types"],
)
def test_a_file_s_tags_are_bare_prefixes_in_all_its_sentences_or_in_none(
    tmp_path: Path, rows: tuple[str, ...], tags: tuple[str, ...], known: tuple[str, ...]
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "".join(f"{row.lower()},{row}\n" for row in rows), encoding="utf-8")
    task = Task(kind="token_classification", labels=known)
    data = read_task(task, {split: [path] for split in ("train", "dev", "test")})
    assert tuple(" ".join(example.label) for example in data.splits["train"]) == tags


def test_files_of_which_one_alone_has_bare_prefixes_are_one_sentence(tmp_path: Path) -> None:
    files = {}
    for split, tags in (("train", "O B I S"), ("dev", "O O O S"), ("test", "O B I O")):
        files[split] = [tmp_path / f"{split}.csv"]
        files[split][0].write_text(f"text,label\na b c d,{tags}\n", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"task.labels: one file's tags are prefixes alone, .* such as S; list all tags"
    ):
        read_task(Task(kind="token_classification"), files)
    data = read_task(Task(kind="token_classification", labels=("O", "B", "I", "S")), files)
    assert data.splits["dev"][0].label == ("O", "O", "O", "B-ENTITY")
