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
            "rows.jsonl:2: the label '007' and '7' in PATH/rows.jsonl:1",
        ),
        (("1", "+1", "x"), "rows.jsonl:2: the label '+1' and '1' in"),
        (
            ("pos", "po\u200bs", "x"),
            r"rows.jsonl:2: the label 'po\u200bs' and 'pos' in PATH",
        ),
        (("very good", "very  good", "x"), "rows.jsonl:2: the label 'very  good' and"),
        (("1", "\uff11", "x"), r"rows.jsonl:2: the label '\uff11' and '1' in"),
        (("-1", "\u22121", "x"), r"rows.jsonl:2: the label '\u22121' and '-1' in"),
        (("good", "go\u034fod", "x"), r"rows.jsonl:2: the label 'go\u034fod' and 'good' in"),
        (("\u2764", "\u2764\ufe0f"), r"rows.jsonl:2: the label '\u2764\ufe0f' and '\u2764' in"),
        (("fine", "\ufb01ne"), r"rows.jsonl:2: the label '\ufb01ne' and 'fine' in"),
        ((True, "true", "x"), "rows.jsonl:2: the label 'true' and 'True' in"),
        ((1, 0, True, False), "rows.jsonl:3: the label 'True' and '1' in"),
        (("0.5", "nan", "1.5"), "rows.jsonl:1: the labels are numbers such as 0.5; set task.kind: regression"),
        (("0.5", "1.5"), "rows.jsonl:1: the labels are numbers such as 0.5; set task.kind: regression, or list them"),
        (("x", "y", 0.5), "rows.jsonl:3: column 'label' holds 0.5, not a label; for numbers set task.kind: regression"),
        (("1", "1,5"), "rows.jsonl:2: the labels are numbers such as 1,5; set task.kind: regression"),
        (("joy", "fear", "joy|fear"), "rows.jsonl:3: 'joy|fear' is several labels in one"),
        (("joy", "fear", "joy, fear"), "rows.jsonl:3: 'joy, fear' is several labels in one"),
        (("2", "3", "2,3"), "rows.jsonl:3: '2,3' is several labels in one"),
        (("a;b", "a;c", "b;c", "a;b;c"), "rows.jsonl:1: 'a;b' is several labels in one"),
        (("joy;fear", "fear;anger", "joy"), "rows.jsonl:1: 'joy;fear' is several labels in one"),
        (("\u559c", "\u6012", "\u559c\u3001\u6012"), "rows.jsonl:3: '\u559c\u3001\u6012' is several labels in one"),
        (("('joy', 'fear')", "joy"), "rows.jsonl:1: column 'label' holds 2 labels, ['joy', 'fear']; with several"),
        (("{'joy', 'fear'}", "joy"), "rows.jsonl:1: column 'label' holds 2 labels, ['fear', 'joy']; with several"),
        (("{'joy': 0.9, 'fear': 0.1}", "joy"), "not a label; for what a teacher gave each label set task.soft_labels"),
        (("['joy' 'fear']", "joy"), "labels as numpy prints them; separate the items by commas"),
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


def test_rows_are_left_out_by_a_label_alone_in_a_list_of_any_kind(tmp_path: Path) -> None:
    for alone in (["c"], "['c']", "('c',)", "{'c'}"):
        assert labels(tmp_path, "a", "b", alone, drop_labels=("c",)) == {"a": 12, "b": 12}


def test_a_test_file_of_hidden_labels_is_named_where_training_has_that_label_too(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"test_rows.jsonl:1: all labels of the file are -1; -1 stands for a label"):
        labels(tmp_path, "-1", "0", "1", test=(-1,))
    assert set(labels(tmp_path, "-1", "0", "1", test=("-1", "0"))) == {"-1", "0", "1"}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ((["1"], ["01", "x"]), "rows.jsonl:2: the label '01' and '1' in PATH/rows.jsonl:1"),
        ((["good", "x"], ["go\u200bod"]), r"rows.jsonl:2: the label 'go\u200bod' and"),
        ((["a"], ["b"], ["a;b"]), "rows.jsonl:3: 'a;b' is several labels in one; set task.label_separator, or list"),
        (("['a' 'b']", "['a']"), "labels as numpy prints them"),
    ],
)
def test_labels_among_several_that_are_not_one_are_one_sentence(tmp_path: Path, values: Any, says: str) -> None:
    with pytest.raises(UserError) as error:
        labels(tmp_path, *values, kind="multi_label")
    assert says.replace("PATH", str(tmp_path)) in str(error.value)


def test_classes_with_separators_in_their_names_stay_classes(tmp_path: Path) -> None:
    assert set(labels(tmp_path, "C", "C++", "R&B", "rock/pop")) == {"C", "C++", "R&B", "rock/pop"}
    levels = ("sport|tennis", "sport|golf", "art|film", "(new)", "{x}")
    assert set(labels(tmp_path, *levels)) == set(levels)
    names = ("rock", "pop", "rock/pop")
    assert set(labels(tmp_path, *names, labels=names)) == set(names)
