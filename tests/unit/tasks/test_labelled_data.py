"""A task's rows: what is read, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from pipeline.config.data import Task
from pipeline.errors import UserError
from pipeline.tasks.labelled_data import TaskData, read_task
from pipeline.tasks.tokenised import as_datasets

MANY = "text,label\n" + "".join(f"text {row},{'ab'[row % 2]}\n" for row in range(40))


def read(folder: Path, files: dict[str, str], **settings: Any) -> TaskData:
    """A task of files by their names, such as train.csv."""
    paths: dict[str, list[Path]] = {}
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
        paths.setdefault(name.split(".")[0].rstrip("0123456789"), []).append(folder / name)
    return read_task(Task(**settings), paths)


def complaint(folder: Path, files: dict[str, str], **settings: Any) -> str:
    with pytest.raises(UserError) as error:
        read(folder, files, **settings)
    return str(error.value)


def jsonl(*rows: dict) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_one_file_is_cut_into_three_splits_of_the_asked_shares(tmp_path):
    data = read(tmp_path, {"train.csv": MANY}, dev_share=0.2, test_share=0.1)
    assert {split: len(rows) for split, rows in data.splits.items()} == {"train": 28, "dev": 8, "test": 4}
    assert sorted(row.line for rows in data.splits.values() for row in rows) == list(range(2, 42))


def test_files_of_their_own_are_not_cut(tmp_path):
    files = {"train.csv": MANY, "dev.csv": MANY.replace("text ", "dev "), "test.csv": MANY.replace("text ", "test ")}
    data = read(tmp_path, files)
    assert {split: len(rows) for split, rows in data.splits.items()} == {"train": 40, "dev": 40, "test": 40}


def test_several_training_files_of_several_kinds_are_one_split(tmp_path):
    more = jsonl(*({"text": f"more {row}", "label": "ab"[row % 2]} for row in range(10)))
    data = read(tmp_path, {"train.csv": MANY, "train2.jsonl": more})
    assert sum(map(len, data.splits.values())) == 50


def test_labels_are_sorted_and_numbers_by_their_size(tmp_path):
    rows = "text,label\n" + "".join(f"text {row},{row % 11}\n" for row in range(110))
    assert read(tmp_path, {"train.csv": rows}).label_names == tuple(map(str, range(11)))
    assert read(tmp_path, {"train.csv": MANY}).label_names == ("a", "b")
    assert read(tmp_path, {"train.csv": MANY}, labels=("b", "a")).label_names == ("b", "a")


def test_numbers_and_booleans_are_labels_by_their_text(tmp_path):
    whole = jsonl(*({"text": f"text {row}", "label": row % 2} for row in range(20)))
    assert read(tmp_path, {"train.jsonl": whole}, labels=("1", "0")).label_names == ("1", "0")
    truth = jsonl(*({"text": f"text {row}", "label": row % 2 == 0} for row in range(20)))
    assert read(tmp_path, {"train.jsonl": truth}).label_names == ("False", "True")
    table = pa.table({"text": [f"text {row}" for row in range(20)], "label": [float(row % 2) for row in range(20)]})
    pq.write_table(table, tmp_path / "train.parquet")
    assert read_task(Task(), {"train": [tmp_path / "train.parquet"]}).label_names == ("0", "1")


@pytest.mark.parametrize(
    ("labels", "named"),
    [((), ("bad", "good")), (("good", "bad"), ("good", "bad")), (("1", "0"), ("1", "0"))],
)
def test_labels_have_the_names_that_datasets_notes_for_their_numbers(tmp_path, labels, named):
    features = Features({"text": Value("string"), "label": ClassLabel(names=["bad", "good"])})
    rows = {"text": [f"text {row}" for row in range(40)], "label": [row % 2 for row in range(40)]}
    Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "train.parquet"))
    data = read_task(Task(labels=labels), {"train": [tmp_path / "train.parquet"]})
    assert data.label_names == named
    assert {example.label for example in data.splits["train"]} == set(named)


def test_several_labels_have_the_names_that_datasets_notes(tmp_path):
    features = Features({"text": Value("string"), "label": List(ClassLabel(names=["warm", "sad", "sharp"]))})
    rows = {"text": [f"text {row}" for row in range(40)], "label": [[row % 2, 2] for row in range(40)]}
    Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "train.parquet"))
    data = read_task(Task(kind="multi_label"), {"train": [tmp_path / "train.parquet"]})
    assert data.label_names == ("sad", "sharp", "warm")


def test_an_augmented_dataset_is_no_table_of_rows(tmp_path):
    rows = {"text": ["a", "b"], "label": ["x", "y"], "source_id": [0, 0], "variant": [0, 1], "replaced": [[], []]}
    Dataset.from_dict(rows).to_parquet(str(tmp_path / "train.parquet"))
    with pytest.raises(UserError, match=r"task\.train: .* is an augmented dataset: .* augment_data\.reuse"):
        read_task(Task(), {"train": [tmp_path / "train.parquet"]})


def test_rows_of_dropped_labels_are_left_out_unread_and_counted(tmp_path):
    data = read(tmp_path, {"train.csv": MANY + ",plot\nx,plot\n"}, drop_labels=("plot",))
    assert data.left_out == {"dropped": 2, "empty": 0, "repeated": 0, "malformed": 0}


def test_rows_without_text_are_left_out_where_the_recipe_says_so(tmp_path):
    data = read(tmp_path, {"train.csv": MANY + ",a\n \t,b\n"}, skip_empty=True)
    assert data.left_out["empty"] == 2


def test_a_gap_that_pandas_wrote_is_no_text(tmp_path):
    rows = jsonl(*({"text": f"text {row}", "label": "ab"[row % 2]} for row in range(20)))
    gap = '{"text": NaN, "label": "a"}\n'
    assert read(tmp_path, {"train.jsonl": rows + gap}, skip_empty=True).left_out["empty"] == 1
    assert "train.jsonl:21: column 'text' has no text" in complaint(tmp_path, {"train.jsonl": rows + gap})


def test_a_repeated_text_is_kept_once_and_in_training_first(tmp_path):
    files = {"train.csv": MANY + "text 0,a\n", "test.csv": "text,label\ntext 1,b\nnew,a\n"}
    data = read(tmp_path, files, drop_repeats=True)
    assert data.left_out["repeated"] == 2
    assert [row.texts for row in data.splits["test"]] == [("new",)]


def test_a_pair_is_repeated_only_when_both_sides_are(tmp_path):
    rows = "one,two,label\n" + "".join(f"same,other {row},{row % 2}\n" for row in range(20))
    data = read(tmp_path, {"train.csv": rows}, text="one", text_pair="two", drop_repeats=True)
    assert data.left_out["repeated"] == 0


def test_no_film_is_in_two_splits(tmp_path):
    rows = "text,label,film\n" + "".join(f"text {row},{row % 2},film {row % 12}\n" for row in range(120))
    splits = read(tmp_path, {"train.csv": rows}, group="film", dev_share=0.2, test_share=0.2).splits
    films = {split: {row.group for row in rows} for split, rows in splits.items()}
    assert not films["train"] & films["dev"] | films["train"] & films["test"] | films["dev"] & films["test"]
    assert [len(films[split]) for split in ("train", "dev", "test")] == [8, 2, 2]


def test_unlabelled_text_needs_no_label(tmp_path):
    data = read(tmp_path, {"train.csv": MANY, "unlabelled.tsv": "text\nmore\nand more\n"})
    assert [(row.texts, row.label) for row in data.splits["unlabelled"]] == [(("more",), None), (("and more",), None)]


def test_a_regression_has_scores_and_no_label_names(tmp_path):
    rows = "text,score\n" + "".join(f"text {row},{row / 4}\n" for row in range(20))
    data = read(tmp_path, {"train.csv": rows}, label="score", kind="regression")
    assert (data.label_names, data.metric) == ((), "pearson_and_spearman")
    dataset = as_datasets(data)["train"]
    assert dataset.features["score"].dtype == "float32"
    assert dataset[0]["score"] == data.splits["train"][0].label


@pytest.mark.parametrize(
    ("row", "settings", "part"),
    [
        ("x,c", {"labels": ("a", "b")}, "train.csv:42: unknown label 'c'; known are: a, b"),
        (",a", {}, "train.csv:42: column 'text' has no text"),
        ("  ,a", {}, "train.csv:42: column 'text' has no text"),
        ("x,", {}, "train.csv:42: column 'label' has no label"),
        ("x,a,b", {}, "train.csv:42: 3 fields"),
        ("x,a", {"text": "txt"}, "train.csv:1: no column 'txt'; did you mean 'text'?"),
        ("x,a", {"group": "film"}, "train.csv:1: no column 'film'"),
        ("x,a", {"text_pair": "text"}, "the name 'text' is used twice"),
        ("x,a", {"label": "id"}, "the name 'id' is used twice"),
        ("x,a", {"drop_labels": ("b",)}, "train.csv:2: all training rows have the label 'a'"),
        ("x,a", {"drop_labels": ("a", "b")}, "task.train: no train row is left"),
        ("x,a", {"dev_share": 0.0}, "task.dev_share: the 41 rows are too few for a row in dev"),
        ("x,a", {"test_share": 0.001}, "task.test_share: the 41 rows are too few for a row in test"),
        ("x,a", {"test_share": 0.5, "dev_share": 0.5}, "together 1, which leaves no training row"),
        ("x,a", {"labels": ("a", "b", "a")}, "task.labels: name each label once"),
        ("x,a", {"metric": "pearson"}, "task.metric: 'pearson' does not score a classification"),
        ("x,c", {"metric": "f1"}, "task.metric: 'f1' needs two labels"),
        ("x,a", {"glue": "rte", "train": ("x",)}, "task.train: task.glue: rte sets it already"),
        ("x,a", {"glue": "rte"}, "task.data: empty"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line_or_key(tmp_path, row, settings, part):
    assert part in complaint(tmp_path, {"train.csv": MANY + row + "\n"}, **settings)


@pytest.mark.parametrize(("rows", "labels", "split", "spare"), [(30, 30, "test", "none"), (31, 30, "dev", "1")])
def test_where_labels_have_one_row_each_files_of_dev_and_test_are_asked_for(tmp_path, rows, labels, split, spare):
    table = "text,label\n" + "".join(f"text {row},l{row % labels}\n" for row in range(rows))
    says = f"task.{split}_share: each label keeps a training row, so of the {rows} rows {spare} can be held out"
    assert complaint(tmp_path, {"train.csv": table}).startswith(says)


@pytest.mark.parametrize("score", ["nan", "inf", "-Infinity", "much", "", "1_0", "1e999"])
def test_a_score_is_a_finite_number(tmp_path, score):
    rows = f"text,label\nx,1.5\ny,{score}\n"
    assert f"train.csv:3: column 'label' holds '{score}', not a finite number" in complaint(
        tmp_path, {"train.csv": rows}, kind="regression"
    )


@pytest.mark.parametrize("score", ["1e39", "-3.5e38"])
def test_a_score_fits_into_float32(tmp_path, score):
    rows = f"text,label\nx,3.4e38\ny,{score}\n"
    assert f"train.csv:3: column 'label' holds '{score}', and float32 ends at 3.4e38" in complaint(
        tmp_path, {"train.csv": rows}, kind="regression"
    )


@pytest.mark.parametrize(
    ("row", "part"),
    [
        ({"text": 1, "label": "a"}, "column 'text' holds 1, not text"),
        ({"text": None, "label": "a"}, "column 'text' has no text"),
        ({"text": ["x"], "label": "a"}, "column 'text' holds ['x'], not text"),
        ({"text": "x", "label": None}, "column 'label' has no label"),
        ({"text": "x", "label": 0.5}, "column 'label' holds 0.5, not a label; for numbers set task.kind: regression"),
        ({"text": "x", "label": {"a": 1}}, "column 'label' holds {'a': 1}, not a label"),
    ],
)
def test_a_json_value_of_the_wrong_type_is_refused(tmp_path, row, part):
    message = complaint(tmp_path, {"train.jsonl": jsonl({"text": "x", "label": "a"}, row)})
    assert f"train.jsonl:2: {part}" in message


def test_a_label_that_training_never_shows_is_refused(tmp_path):
    dev = "text,label\nx,a\ny,c\n"
    assert "dev.csv:3: unknown label 'c'" in complaint(tmp_path, {"train.csv": MANY, "dev.csv": dev})
    message = complaint(tmp_path, {"train.csv": MANY, "dev.csv": dev}, labels=("a", "b", "c"))
    assert "dev.csv:3: no training row has the label 'c'" in message


def test_a_group_in_two_files_is_refused(tmp_path):
    train = "text,label,film\n" + "".join(f"text {row},{row % 2},film {row % 12}\n" for row in range(120))
    message = complaint(tmp_path, {"train.csv": train, "dev.csv": "text,label,film\nx,1,film 3\n"}, group="film")
    assert "dev.csv:2: film 'film 3' is in dev and in train" in message


def test_a_row_without_a_group_is_refused(tmp_path):
    message = complaint(tmp_path, {"train.csv": "text,label,film\nx,1,\n"}, group="film")
    assert "train.csv:2: column 'film' holds '', but with task.group every row needs a group" in message


def test_reading_a_task_imports_neither_torch_nor_datasets():
    heavy = "{'torch', 'datasets', 'sklearn', 'scipy'}"
    code = f"import sys, pipeline.tasks.labelled_data; print({heavy} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=Path(__file__).parents[3])
    assert run.stdout == b"set()\n"


def test_texts_to_vary_are_the_different_ones_of_training_and_unlabelled_rows(tmp_path):
    (tmp_path / "more.csv").write_text("text,other\nc,\na,d\n")
    rows = {"train.csv": "text,other,label\na,b,0\na,c,1\n", "dev.csv": "text,other,label\nx,y,0\n"}
    for name, content in rows.items():
        (tmp_path / name).write_text(content)
    files = {split: [tmp_path / f"{split}.csv"] for split in ("train", "dev")} | {"test": [tmp_path / "dev.csv"]}
    data = read_task(Task(text_pair="other", pair_or_single=True), {**files, "unlabelled": [tmp_path / "more.csv"]})
    assert data.texts_to_vary() == ["a", "b", "c", "d"]
