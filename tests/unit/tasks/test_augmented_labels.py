"""The labels of an augmented dataset that is reused: tags, answers, and rows that have none."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Features, List, Value

from data_augment.dataset import augmented_features
from pipeline.config.data import Task
from pipeline.errors import UserError
from pipeline.tasks.augmented import augmented_rows, check_augmented
from pipeline.tasks.labelled_data import TaskData, read_task

TAGS = ("O", "B-PER", "I-PER")
ANSWERS = {"text": List(Value("string")), "answer_start": List(Value("int32"))}
ANSWER = {"text": ["film"], "answer_start": [4]}


def task_of(path: Path, content: str, **settings: Any) -> TaskData:
    """A task of one row a split; no row is in two."""
    paths = {}
    for split in ("train", "dev", "test"):
        paths[split] = [path.with_stem(f"{path.stem}-{split}")]
        paths[split][0].write_text(content.replace("SPLIT", split), encoding="utf-8")
    return read_task(Task(**settings), paths)


def tags_of(folder: Path) -> TaskData:
    return task_of(folder / "rows.conll", "Peter B-PER\nBlackburn I-PER\nSPLIT O\n", kind="token_classification")


def questions_of(folder: Path) -> TaskData:
    content = '{"text": "SPLIT what?", "context": "the film", "label": {"text": ["film"], "answer_start": [4]}}\n'
    return task_of(folder / "rows.jsonl", content, kind="question_answering", text_pair="context")


def write(folder: Path, label: Any, *labels: Any, texts: Mapping[str, str]) -> Path:
    """A dataset of originals that differ in their labels.

    Args: label: the feature of their column.
    """
    features = Features({"id": Value("int64"), **dict.fromkeys(texts, Value("string")), "label": label})
    rows = [
        {**texts, "label": value, "source_id": number, "variant": 0, "replaced": []}
        for number, value in enumerate(labels)
    ]
    table = pa.Table.from_pylist(rows, schema=augmented_features(features).arrow_schema)
    pq.write_table(table, folder / "made.parquet")
    return folder / "made.parquet"


def labels_of(path: Path, data: TaskData) -> list[Any]:
    check_augmented([path], data)
    return [row["label"] for row in augmented_rows([path], data, dropped=Counter())]


def name_the_numbers(path: Path, names: tuple[str, ...]) -> None:
    """Names for the numbers of a file's tags that no `ClassLabel` would have let in."""
    table = pq.read_table(path)
    features = json.loads(table.schema.metadata[b"huggingface"])
    features["info"]["features"]["label"]["feature"] = {"names": list(names), "_type": "ClassLabel"}
    pq.write_table(table.replace_schema_metadata({b"huggingface": json.dumps(features)}), path)


def complaint(path: Path, data: TaskData, **settings: Any) -> str:
    with pytest.raises(UserError) as error:
        check_augmented([path], data, **settings)
    return str(error.value)


@pytest.mark.parametrize("feature", [List(Value("string")), List(ClassLabel(names=list(TAGS)))])
def test_tags_are_read_by_name_and_by_number(tmp_path: Path, feature: Any) -> None:
    tags = ["B-PER", "O"] if isinstance(feature.feature, Value) else [1, 0]
    path = write(tmp_path, feature, tags, None, texts={"text": "Peter lies"})
    assert labels_of(path, tags_of(tmp_path)) == [[1, 0], None]


def test_tags_in_another_order_get_the_task_s_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, List(ClassLabel(names=["I-PER", "O", "B-PER"])), [2, 1], texts={"text": "Peter lies"})
    assert labels_of(path, tags_of(tmp_path)) == [[1, 0]]


@pytest.mark.parametrize("tag", [-100, 3, None])
def test_a_tag_s_number_without_a_name_is_one_sentence(tmp_path: Path, tag: int | None) -> None:
    path = write(tmp_path, List(Value("int64")), [1, tag], texts={"text": "Peter lies"})
    name_the_numbers(path, TAGS)
    assert f"row 1: its label {tag} has no name; the column names 3, from 0" in complaint(path, tags_of(tmp_path))


@pytest.mark.parametrize(
    ("feature", "label", "words"),
    [
        (List(Value("string")), ["B-LOC", "O"], "row 1: its label 'B-LOC' is none of the task's, O, B-PER, I-PER"),
        (List(Value("int64")), [1, 0], "column 'label' holds list<item: int64> without the labels' names"),
        (Value("string"), "B-PER O", "column 'label' holds string, and a list of tags is needed, one a word"),
    ],
)
def test_tags_that_are_not_the_task_s_are_one_sentence(tmp_path: Path, feature: Any, label: Any, words: str) -> None:
    path = write(tmp_path, feature, label, texts={"text": "Peter lies"})
    assert words in complaint(path, tags_of(tmp_path)).replace("element:", "item:")


@pytest.mark.parametrize("tags", [["B-PER"], ["B-PER", "I-PER", "O"]])
def test_tags_and_words_of_different_numbers_are_one_sentence(tmp_path: Path, tags: list[str]) -> None:
    path = write(tmp_path, List(Value("string")), tags, texts={"text": "Peter lies"})
    assert f"row 1: 2 words for {len(tags)} tags: 'Peter lies'; " in complaint(path, tags_of(tmp_path))


def test_an_answer_that_is_not_in_its_context_is_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path, ANSWERS, ANSWER, texts={"text": "what?", "context": "a film"})
    assert "row 1: the answer 'film' does not stand at 4 of 'a film'; " in complaint(path, questions_of(tmp_path))


def test_answers_are_read_as_the_hub_has_them(tmp_path: Path) -> None:
    path = write(tmp_path, ANSWERS, ANSWER, texts={"text": "what?", "context": "the film"})
    assert labels_of(path, questions_of(tmp_path)) == [ANSWER]


@pytest.mark.parametrize(
    ("feature", "label"),
    [
        (Value("string"), "film"),
        ({"text": Value("string"), "answer_start": Value("int32")}, {"text": "film", "answer_start": 4}),
        (List({"text": Value("string"), "answer_start": Value("int32")}), [{"text": "film", "answer_start": 4}]),
        ({"text": List(Value("string"))}, {"text": ["film"]}),
    ],
)
def test_answers_of_another_shape_are_one_sentence(tmp_path: Path, feature: Any, label: Any) -> None:
    path = write(tmp_path, feature, label, texts={"text": "what?", "context": "the film"})
    assert "and answers are needed: a list of 'text' and one of 'answer_start'" in complaint(
        path, questions_of(tmp_path)
    )


def test_a_dataset_without_a_row_is_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path, ANSWERS, texts={"text": "what?", "context": "the film"})
    assert complaint(path, questions_of(tmp_path)).startswith(f"augment_data.reuse: {tmp_path} holds no row; ")


def test_a_row_without_a_label_is_one_sentence_where_labels_are_learnt(tmp_path: Path) -> None:
    path = write(tmp_path, ANSWERS, ANSWER, None, texts={"text": "what?", "context": "the film"})
    check_augmented([path], questions_of(tmp_path))
    said = complaint(path, questions_of(tmp_path), needs_labels=True)
    assert "made.parquet, row 2: has no label, and distill_predictions.label learns it; set that to 0" in said


@pytest.mark.parametrize("feature", [Value("string"), Value("int64")])
def test_labels_that_are_numbers_need_no_names(tmp_path: Path, feature: Value) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "".join(f"film {number},{number % 2 * 2 - 1}\n" for number in range(8)))
    data = read_task(Task(labels=("-1", "1")), {split: [path] for split in ("train", "dev", "test")})
    values = [-1, 1, None] if feature == Value("int64") else ["-1", "1", None]
    assert labels_of(write(tmp_path, feature, *values, texts={"text": "good"}), data) == [0, 1, None]


def test_scores_may_be_text(tmp_path: Path) -> None:
    data = task_of(tmp_path / "rows.csv", "text,label\nfilm SPLIT,2.5\nplot SPLIT,1\n", kind="regression")
    assert labels_of(write(tmp_path, Value("string"), "2.5", "4", None, texts={"text": "a"}), data) == [2.5, 4.0, None]
    wrong = write(tmp_path, Value("string"), "good", texts={"text": "a"})
    assert complaint(wrong, data).startswith(f"{wrong}, row 1: its score 'good' is no number")
