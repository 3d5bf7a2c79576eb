"""Labels in several writings: one label, or an error with both places."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.data import Task
from pipeline.errors import UserError
from pipeline.tasks.labelled_data import read_task


def labels(folder: Path, *values: Any, name: str = "rows.jsonl", test: Any = (), **settings: Any) -> Counter[str]:
    """The labels of a file, twelve rows of each of the values, by number."""
    files = {"train": (_write(folder / name, values),)}
    if test:
        files["test"] = (_write(folder / f"test_{name}", test),)
    data = read_task(Task(test_share=0, dev_share=0.1, **settings), files | {"test": files.get("test", files["train"])})
    return Counter(example.label for split in ("train", "dev") for example in data.splits[split])


def _write(path: Path, values: Any) -> Path:
    rows = [{"text": f"film {n} {value!r}", "label": value} for n in range(12) for value in values]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        lines = ["text;label", *(f"{row['text']};{row['label']}" for row in rows)]
        path.write_text("\n".join(lines), encoding="utf-8")
    else:
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_whole_numbers_are_one_label_with_and_without_a_fraction(tmp_path: Path, name: str) -> None:
    assert labels(tmp_path, 0, 0.0, 1, 1.0, name=name) == {"0": 24, "1": 24}


@pytest.mark.parametrize(
    "writings",
    [
        ("n\u00e9gatif", "ne\u0301gatif"),
        ("n\u00e9gatif", " n\u00e9gatif "),
        ("n\u00e9gatif", "\ufeffn\u00e9gatif\u200b"),
        ("n\u00e9gatif", "n\u00e9gatif\u00a0"),
        ("n\u00e9gatif", ["n\u00e9gatif"]),
        ("n\u00e9gatif", "['n\u00e9gatif']"),
    ],
)
def test_writings_of_one_word_are_one_label(tmp_path: Path, writings: Any) -> None:
    assert labels(tmp_path, "positif", *writings) == {"positif": 12, "n\u00e9gatif": 24}
    found = labels(tmp_path, "positif", *writings, labels=("positif", "ne\u0301gatif"))
    assert found == {"positif": 12, "n\u00e9gatif": 24}
    assert labels(tmp_path, "a", "b", *writings, drop_labels=("ne\u0301gatif ",)) == {"a": 12, "b": 12}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            ("7", "007", "x"),
            "rows.jsonl:2: the label '007' is written differently, '7', in PATH/rows.jsonl:1",
        ),
        (("1", "+1", "x"), "rows.jsonl:2: the label '+1' is written differently, '1', in"),
        (
            ("pos", "po\u200bs", "x"),
            r"rows.jsonl:2: the label 'po\u200bs' is written differently, 'pos', in PATH",
        ),
        (("very good", "very  good", "x"), "rows.jsonl:2: the label 'very  good' is written differently"),
        (("0.5", "1.5"), "rows.jsonl:1: the labels are numbers such as 0.5; set task.kind: regression, or list them"),
        (("x", "y", 0.5), "rows.jsonl:3: column 'label' holds 0.5, not a label; for numbers set task.kind: regression"),
        (("1", "1,5"), "rows.jsonl:2: the labels are numbers such as 1,5; set task.kind: regression"),
        (("joy", "fear", "joy|fear"), "rows.jsonl:3: 'joy|fear' is several labels in one"),
        (("joy", "fear", "joy, fear"), "rows.jsonl:3: 'joy, fear' is several labels in one"),
        (("2", "3", "2,3"), "rows.jsonl:3: '2,3' is several labels in one"),
        (("a;b", "a;c", "b;c", "a;b;c"), "rows.jsonl:1: 'a;b' is several labels in one"),
        ((["joy", "fear"], "joy"), "rows.jsonl:1: column 'label' holds 2 labels, ['joy', 'fear']; with several"),
        (("['joy', 'fear']", "joy"), "with several labels a text, or none, set task.kind: multi_label"),
        (([], "joy"), "rows.jsonl:1: column 'label' holds 0 labels, []; with several labels a text"),
        (({"a": 1}, "joy"), "rows.jsonl:1: column 'label' holds {'a': 1}, not a label"),
    ],
)
def test_labels_that_are_not_one_are_one_sentence(tmp_path: Path, values: Any, says: str) -> None:
    with pytest.raises(UserError) as error:
        labels(tmp_path, *values)
    assert says.replace("PATH", str(tmp_path)) in str(error.value)


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet"])
def test_fractions_ask_for_a_regression_whatever_the_format(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"set task.kind: regression, or list them in task.labels"):
        labels(tmp_path, 0.5, 1.5, 2.0, name=name)
    assert labels(tmp_path, 0.5, 1.5, name=name, labels=("0.5", "1.5")) == {"0.5": 12, "1.5": 12}


@pytest.mark.parametrize(("kind", "train"), [("classification", ("0", "1")), ("regression", (0.5, 1.5))])
def test_a_hidden_label_is_named(tmp_path: Path, kind: Any, train: Any) -> None:
    with pytest.raises(UserError, match=r"test_rows.jsonl:1: .*-1 stands for a label that is kept secret"):
        labels(tmp_path, *train, test=(-1,), kind=kind)


def test_classes_with_separators_in_their_names_stay_classes(tmp_path: Path) -> None:
    assert set(labels(tmp_path, "C", "C++", "R&B", "rock/pop")) == {"C", "C++", "R&B", "rock/pop"}
    names = ("rock", "pop", "rock/pop")
    assert set(labels(tmp_path, *names, labels=names)) == set(names)
