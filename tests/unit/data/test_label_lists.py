"""Several labels of one text, however a table holds them."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.data import Task
from pipeline.errors import UserError
from pipeline.tasks.labelled_data import TaskData, read_task


def read(path: Path, content: str, **settings: Any) -> TaskData:
    path.write_text(content, encoding="utf-8")
    task = Task(**({"train": [str(path)], "kind": "multi_label", "dev_share": 0.25, "test_share": 0.25} | settings))
    return read_task(task, {"train": [path]})


def labels(data: TaskData) -> dict[str, tuple[str, ...]]:
    return {example.texts[0]: example.label for split in data.splits.values() for example in split}


SIGNS = "text,label\none,a|b\ntwo,\nthree,b\nfour,a | c\nfive,c\nsix,a\nseven,c\neight,b\n"


def test_labels_with_a_sign_between_them_may_be_none(tmp_path: Path) -> None:
    data = read(tmp_path / "rows.csv", SIGNS, label_separator="|")
    found = labels(data)
    assert found["one"] == ("a", "b") and found["two"] == () and found["four"] == ("a", "c")
    assert data.label_names == ("a", "b", "c") and data.metric == "micro_f1"


def test_with_soft_labels_an_empty_cell_still_means_no_label(tmp_path: Path) -> None:
    rows = "".join(f"{line},0.9,0.8\n" for line in SIGNS.splitlines()[1:])
    soft = {"a": "pa", "b": "pb"}
    content = "text,label,pa,pb\n" + rows.replace("c", "b")
    found = labels(read(tmp_path / "rows.csv", content, label_separator="|", soft_labels=soft))
    assert found["two"] == () and found["three"] == ("b",)
    lines = [{"text": str(n), "label": "a" * (n % 2) or None, "pa": n / 9, "pb": 0.8} for n in range(8)]
    content = "".join(json.dumps(line) + "\n" for line in lines)
    found = labels(read(tmp_path / "rows.jsonl", content, label_separator="|", soft_labels=soft))
    assert found["1"] == ("a",) and found["2"] == ("b",)


LISTS = "\n".join(
    ['{"text": "one", "label": ["a", "b"]}', '{"text": "two", "label": []}', '{"text": "three", "label": ["b"]}']
    + [f'{{"text": "{number}", "label": ["{"ab"[number % 2]}"]}}' for number in range(9)]
)


def test_lists_may_be_empty(tmp_path: Path) -> None:
    found = labels(read(tmp_path / "rows.jsonl", LISTS))
    assert found["one"] == ("a", "b") and found["two"] == ()


def test_lists_as_pandas_writes_them(tmp_path: Path) -> None:
    rows = "".join(f"row {number},\"['{'ab'[number % 2]}']\"\n" for number in range(8))
    found = labels(read(tmp_path / "rows.csv", f"text,label\none,\"['a', 'b']\"\ntwo,[]\n{rows}"))
    assert found["one"] == ("a", "b") and found["two"] == ()


def test_a_column_of_0_and_1_for_each_label(tmp_path: Path) -> None:
    rows = "".join(f"row {number},{number % 2},{int(number < 4)}\n" for number in range(8))
    found = labels(read(tmp_path / "rows.csv", f"text,b,a\nnone,0,0\n{rows}", label_columns=["b", "a"]))
    assert found["row 1"] == ("b", "a") and found["none"] == ()


def test_numbers_are_looked_up_in_the_names_of_the_recipe(tmp_path: Path) -> None:
    rows = "".join(f"row {number}\t{number % 2}\n" for number in range(8))
    settings = {"header": ["text", "label"], "label_separator": ",", "labels": ["joy", "fear", "love"]}
    found = labels(read(tmp_path / "rows.tsv", f"both\t0,2\n{rows}both\t2\n", **settings))
    assert found["row 1"] == ("fear",) and found["both"] in (("joy", "love"), ("love",))


def test_each_split_has_its_share_of_a_rare_label(tmp_path: Path) -> None:
    rows = "".join(
        f"row {number},{'a|rare' if number % 20 == 0 else 'a' if number % 2 else 'b'}\n" for number in range(200)
    )
    data = read(tmp_path / "rows.csv", f"text,label\n{rows}", label_separator="|")
    counts = [sum("rare" in example.label for example in data.splits[split]) for split in ("train", "dev", "test")]
    assert sum(counts) == 10 and min(counts) >= 2


@pytest.mark.parametrize(
    ("content", "settings", "says"),
    [
        ("text,label\none,a|b\n", {}, "rows.csv:2: column 'label' holds 'a|b', not a list of labels; name the sign"),
        ("text,label\none,a||b\n", {"label_separator": "|"}, "rows.csv:2: column 'label' has an empty label between"),
        ("text,label\none,a|a\n", {"label_separator": "|"}, "column 'label' holds the label 'a' twice"),
        ("text,label\none,a|d\n", {"label_separator": "|", "labels": ["a", "b"]}, "holds the unknown label 'd'; known"),
        ("text,a,b\none,1,2\n", {"label_columns": ["a", "b"]}, "column 'b' of task.label_columns holds '2'"),
        ("text,a\none,1\n", {"label_columns": ["a", "b"]}, "rows.csv:1: no column 'b'"),
        (SIGNS, {"label_separator": "|", "drop_labels": ["a"]}, "task.drop_labels: leaves out rows by their"),
        (SIGNS, {"label_separator": "|", "label_columns": ["a"]}, "task.label_separator: task.label_columns has"),
        (SIGNS, {"label_separator": "|", "kind": "classification"}, "task.label_separator: only texts with several"),
        ("text,label\none,a\ntwo,a\nthree,a\n", {"label_separator": "|"}, "all training rows have the labels 'a';"),
        (SIGNS, {"label_separator": "|", "metric": "accuracy"}, "task.metric: 'accuracy' does not score a multi_label"),
        ('text,label\none,"[""a"", ""b""]"\n', {"kind": "classification"}, "holds 2 labels, ['a', 'b']; with"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_sentence(tmp_path: Path, content: str, settings: dict, says: str) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path / "rows.csv", content, **settings)
    assert says in str(error.value)


@pytest.mark.parametrize("label", ['["a", "b"]', "[]"])
def test_a_list_of_labels_under_classification_names_the_kind_that_takes_it(tmp_path: Path, label: str) -> None:
    with pytest.raises(UserError, match=r"rows.jsonl:1: column 'label' holds . labels, .*set task.kind: multi_label"):
        read(tmp_path / "rows.jsonl", f'{{"text": "one", "label": {label}}}\n', kind="classification")


@pytest.mark.parametrize("cell", ["[]", " () ", "set()"])
def test_an_empty_list_as_text_is_no_label(tmp_path: Path, cell: str) -> None:
    rows = "".join(f"row {number},['{'ab'[number % 2]}']\n" for number in range(8))
    content = f"text,label\none,{cell}\n{rows}"
    with pytest.raises(
        UserError, match=r"rows.csv:2: column 'label' holds 0 labels, \[\]; .*set task.kind: multi_label"
    ):
        read(tmp_path / "rows.csv", content, kind="classification")
    assert labels(read(tmp_path / "rows.csv", content))["one"] == ()


def test_a_list_of_one_label_is_that_label_under_classification(tmp_path: Path) -> None:
    rows = "\n".join(f'{{"text": "{number}", "label": ["{"ab"[number % 2]}"]}}' for number in range(8))
    assert labels(read(tmp_path / "rows.jsonl", rows, kind="classification"))["1"] == "b"
