"""Named entities: the files that are read, tags that stay with their words, and every stage on a tiny model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.data import AugmentData, Task
from pipeline.data.tags import iob2
from pipeline.errors import UserError
from pipeline.tasks import KINDS
from pipeline.tasks.labelled_data import TaskData, read_task
from pipeline.tasks.token_classification import entities
from pipeline.tasks.words import word_spans
from tests.helpers.tiny_tokenised import tokenised_tags

KIND = KINDS["token_classification"]
CONLL = "EU\tB-ORG\nrejects\tO\nGerman\tB-MISC\ncall\tO\n\nPeter\tB-PER\nBlackburn\tI-PER\n"
SENTENCES = [("EU rejects German call", ("B-ORG", "O", "B-MISC", "O")), ("Peter Blackburn", ("B-PER", "I-PER"))]
NAMES = ("O", "B-MISC", "I-MISC", "B-ORG", "I-ORG", "B-PER", "I-PER")


def read(folder: Path, content: str, name: str = "train.conll", **settings: Any) -> TaskData:
    """A task whose three splits are the same file."""
    (folder / name).write_text(content, encoding="utf-8")
    return read_same(folder / name, Task(kind="token_classification", **settings))


def read_same(path: Path, task: Task) -> TaskData:
    return read_task(task, {split: [path] for split in ("train", "dev", "test")})


def sentences(data: TaskData) -> list[tuple[str, Any]]:
    return [(example.texts[0], example.label) for example in data.splits["train"]]


def jsonl(*rows: dict) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    "content",
    [
        CONLL,
        CONLL.replace("\t", " "),
        CONLL.replace("\n", "\r\n"),
        "-DOCSTART- -X- -X- O\n\n" + CONLL.replace("\t", " NN I-NP "),
        "\ufeff" + CONLL.replace("\n\n", "\n\t\n\n"),
        "# id = 7\n" + CONLL,
        CONLL.replace("B-", "I-"),
        CONLL.replace("B-ORG", "U-ORG").replace("B-MISC", "S-MISC").replace("I-PER", "E-PER"),
        CONLL.replace("B-", "").replace("I-", ""),
    ],
    ids=["tabs", "spaces", "windows", "four columns", "byte-order mark", "comment", "IOB1", "BIOES", "no prefixes"],
)
def test_a_conll_file_of_any_habit_gives_the_same_sentences(tmp_path: Path, content: str) -> None:
    data = read(tmp_path, content)
    assert sentences(data) == SENTENCES
    assert data.label_names == NAMES


def test_iob1_begins_a_second_entity_of_the_same_type_with_b(tmp_path: Path) -> None:
    assert iob2(("I-LOC", "I-LOC", "B-LOC", "O", "I-LOC", "I-PER")) == (
        "B-LOC", "I-LOC", "B-LOC", "O", "B-LOC", "B-PER",
    )  # fmt: skip


@pytest.mark.parametrize("tags", [("B", "O", "B", "I"), ("S", "O", "B", "E"), ("I", "O", "I", "I")])
def test_tags_without_a_type_are_entities_of_one(tmp_path: Path, tags: tuple[str, ...]) -> None:
    words = zip(["EU", "rejects", "Peter", "Blackburn"], tags, strict=True)
    data = read(tmp_path, "".join(f"{word}\t{tag}\n" for word, tag in words))
    assert sentences(data) == [("EU rejects Peter Blackburn", ("B-ENTITY", "O", "B-ENTITY", "I-ENTITY"))]
    assert data.label_names == ("O", "B-ENTITY", "I-ENTITY")


def test_tags_without_a_type_may_be_numbers(tmp_path: Path) -> None:
    rows = jsonl({"text": ["EU", "rejects"], "label": [1, 0]})
    data = read(tmp_path, rows, name="train.jsonl", labels=("O", "B", "I"))
    assert sentences(data) == [("EU rejects", ("B-ENTITY", "O"))]


@pytest.mark.parametrize(
    ("tags", "complaint"),
    [
        ([1, -1], "holds the tag number -1; name the tags, from 0 on, in task.labels"),
        ("1 -1", "holds the tag number -1; name the tags, from 0 on, in task.labels"),
        ([1, None], "holds the tag null, not a name or a number"),
        ([1, 0.5], "holds the tag 0.5, not a name or a number"),
        ([1, True], "holds the tag True, not a name or a number"),
    ],
)
def test_a_tag_that_is_neither_name_nor_number_is_one_sentence(tmp_path: Path, tags: Any, complaint: str) -> None:
    rows = jsonl({"text": ["EU", "rejects"], "label": tags})
    with pytest.raises(UserError, match=f"train.jsonl:1: column 'label' {complaint}"):
        read(tmp_path, rows, name="train.jsonl", labels=NAMES)


def test_columns_of_a_conll_file_can_be_chosen_by_number(tmp_path: Path) -> None:
    rows = "1 EU B-ORG x\n2 rejects O x\n3 German B-MISC x\n4 call O x\n\n1 Peter B-PER x\n2 Blackburn I-PER x\n"
    assert sentences(read(tmp_path, rows, text="1", label="2")) == SENTENCES


def test_json_lines_hold_tags_by_name_or_by_number(tmp_path: Path) -> None:
    rows = [{"tokens": text.split(), "ner_tags": list(tags)} for text, tags in SENTENCES]
    columns: dict[str, Any] = {"text": "tokens", "label": "ner_tags"}
    assert sentences(read(tmp_path, jsonl(*rows), name="train.jsonl", **columns)) == SENTENCES
    assert sentences(read(tmp_path, json.dumps(rows), name="train.json", **columns)) == SENTENCES
    for row in rows:
        row["ner_tags"] = [NAMES.index(tag) for tag in row["ner_tags"]]
    assert sentences(read(tmp_path, jsonl(*rows), name="train.jsonl", labels=NAMES, **columns)) == SENTENCES
    with pytest.raises(UserError, match=r"train.jsonl:1: column 'ner_tags' holds the tag number 3; name the tags"):
        read(tmp_path, jsonl(*rows), name="train.jsonl", **columns)


def test_a_parquet_file_of_the_hub_names_its_tags_itself(tmp_path: Path) -> None:
    rows = {
        "tokens": [text.split() for text, _ in SENTENCES],
        "tags": [[NAMES.index(t) for t in s] for _, s in SENTENCES],
    }
    features = Features({"tokens": List(Value("string")), "tags": List(ClassLabel(names=list(NAMES)))})
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "train.parquet")
    task = Task(kind="token_classification", text="tokens", label="tags")
    assert sentences(read_same(tmp_path / "train.parquet", task)) == SENTENCES
    assert pq.read_table(tmp_path / "train.parquet").schema.field("tags").type == pa.list_(pa.int64())


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("EU\tB-ORG\nrejects\n", "train.conll:2: 1 columns where 2 are needed; a line is a word, a tab or a space"),
        ("EU\tO\n", "train.conll:1: no word of the file has a tag other than O"),
    ],
)
def test_a_broken_conll_file_is_one_sentence(tmp_path: Path, content: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint.replace(".", r"\.")):
        read(tmp_path, content)


def test_words_and_tags_that_do_not_pair_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train.jsonl:1: 2 words, but 1 tags in 'label'"):
        read(tmp_path, jsonl({"text": ["a", "b"], "label": ["O"]}), name="train.jsonl")


def test_labels_of_the_recipe_that_lack_a_tag_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"task.labels: lacks the tag 'MISC'"):
        read(tmp_path, CONLL, labels=("O", "B-ORG", "I-ORG", "B-PER", "I-PER"))


def test_the_words_of_a_text_are_what_single_spaces_part() -> None:
    assert [slice(*span) for span in word_spans("a  bc d")] == [slice(0, 1), slice(2, 2), slice(3, 5), slice(6, 7)]


def test_predictions_are_a_tag_a_word_and_o_beyond_the_cut(tmp_path: Path) -> None:
    texts, rows = tokenised_tags(tmp_path)
    outputs = np.zeros((texts.lengths.sum(), 3), dtype=np.float32)
    outputs[:, 1] = 1
    assert KIND.predictions(outputs, texts, rows) == [[1] * 10 + [0]] * 6


TAGS = st.lists(st.integers(0, 4), min_size=1, max_size=12)


def is_entity(tags: list[int], first: int, last: int) -> bool:
    """Whether these words are one whole entity, by the definition."""
    begin, inside = 2 * ((tags[first] - 1) // 2) + 1, 2 * ((tags[first] - 1) // 2) + 2
    starts = tags[first] == begin or first == 0 or tags[first - 1] not in (begin, inside)
    ends = last + 1 == len(tags) or tags[last + 1] != inside
    return tags[first] != 0 and starts and ends and all(tag == inside for tag in tags[first + 1 : last + 1])


@given(TAGS)
def test_entities_are_what_the_definition_says(tags: list[int]) -> None:
    spans = [(first, last) for last in range(len(tags)) for first in range(last + 1)]
    assert entities(tags) == {((tags[a] - 1) // 2, a, b) for a, b in spans if is_entity(tags, a, b)}


def test_entity_f1_is_that_of_conlleval() -> None:
    right = [[1, 2, 0, 3], [0, 2, 2, 1], [3, 4, 2, 0]]  # six entities
    found = [[1, 2, 0, 1], [0, 2, 0, 1], [3, 4, 2, 4]]  # seven, of which four are right
    statistics = KIND.statistics(found, right)
    assert statistics.sum(axis=0).tolist() == [4, 7, 6]
    assert KIND.details("entity_f1", statistics)["entity_f1"] == pytest.approx(2 * 4 / 13)
    assert KIND.details("entity_f1", KIND.statistics([[0]], [[0]]))["entity_f1"] == 0


def test_words_of_entities_are_protected_where_the_recipe_says_so() -> None:
    row = {"text": "the cast of story is good", "label": [0, 1, 2, 2, 0, 0]}
    assert KIND.protected(row, "text", "label", AugmentData()) == []
    spans = KIND.protected(row, "text", "label", AugmentData(protect_entities=True))
    assert [row["text"][start:end] for start, end in spans] == ["cast", "of", "story"]
