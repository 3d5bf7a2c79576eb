"""GLUE in its official folders and as the hub's Parquet files."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.data import GlueName, Task
from pipeline.data.glue import GLUE
from pipeline.errors import UserError
from pipeline.tasks.labelled_data import TaskData, read_task

DATA = Path(__file__).parents[4] / "shared/data"
with_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")

# Header and spelling of the labels in the official files (MNLI has more columns of parses).
OFFICIAL: dict[GlueName, tuple[str, list[str]]] = {
    "cola": ("source\tlabel\tstar\tsentence", ["0", "1"]),
    "sst2": ("sentence\tlabel", ["0", "1"]),
    "mrpc": ("\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String", ["0", "1"]),
    "stsb": ("index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore", ["0.0", "4.5"]),
    "qqp": ("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", ["0", "1"]),
    "mnli": ("index\tpromptID\tsentence1\tsentence2\tlabel1\tgold_label", ["entailment", "neutral", "contradiction"]),
    "qnli": ("index\tquestion\tsentence\tlabel", ["entailment", "not_entailment"]),
    "rte": ("index\tsentence1\tsentence2\tlabel", ["entailment", "not_entailment"]),
    "wnli": ("index\tsentence1\tsentence2\tlabel", ["0", "1"]),
}
LABELS = {
    "cola": ("unacceptable", "acceptable"),
    "sst2": ("negative", "positive"),
    "mrpc": ("not_equivalent", "equivalent"),
    "stsb": (),
    "qqp": ("not_duplicate", "duplicate"),
    "mnli": ("entailment", "neutral", "contradiction"),
    "qnli": ("entailment", "not_entailment"),
    "rte": ("entailment", "not_entailment"),
    "wnli": ("not_entailment", "entailment"),
}
ROWS = 12


def text(split: str, row: int, column: str) -> str:
    return f'{split} "{row} of {column}'


def write_official(name: GlueName, folder: Path) -> None:
    """Twelve rows a file; texts are made of the hub's column names."""
    header, labels = OFFICIAL[name]
    hub_name = {official: hub for hub, official in GLUE[name].texts.items()} | {GLUE[name].label: "label"}
    folder.mkdir(parents=True)
    matched = ("dev_matched.tsv", "dev_mismatched.tsv") if name == "mnli" else ("dev.tsv",)
    for file in ("train.tsv", *matched):
        lines = [] if name == "cola" else [header]
        for row in range(ROWS):
            cells = []
            for column in header.lstrip("\ufeff").split("\t"):
                known = hub_name.get(column)
                label = labels[row % len(labels)]
                cells.append("x" if known is None else label if known == "label" else text(file[:5], row, known))
            lines.append("\t".join(cells))
        (folder / file).write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_hub(name: GlueName, folder: Path) -> None:
    labels = [0.0, 4.5] if name == "stsb" else list(range(len(LABELS[name])))
    folder.mkdir(parents=True)
    matched = ("validation_matched", "validation_mismatched") if name == "mnli" else ("validation",)
    for split in ("train", *matched, "test"):
        part = "train" if split == "train" else "dev_m" if name == "mnli" else "dev.t"
        columns: dict[str, Any] = {c: [text(part, row, c) for row in range(ROWS)] for c in GLUE[name].texts}
        columns["label"] = [-1 if split == "test" else labels[row % len(labels)] for row in range(ROWS)]
        columns["idx"] = list(range(ROWS))
        pq.write_table(pa.table(columns), folder / f"{split}-00000-of-00001.parquet")


def read(name: GlueName, folder: Path) -> TaskData:
    return read_task(Task(glue=name, data=str(folder), dev_share=0.25), {"glue": [folder]})


def contents(data: TaskData) -> dict[str, list]:
    return {
        split: [
            (example.texts, example.label if data.label_names else float(example.label or 0)) for example in examples
        ]
        for split, examples in data.splits.items()
    }


@pytest.mark.parametrize("name", get_args(GlueName))
def test_both_layouts_of_a_task_hold_the_same_rows(tmp_path, name):
    write_official(name, tmp_path / "official" / GLUE[name].folder)
    write_hub(name, tmp_path / "hub" / name)
    official, hub = read(name, tmp_path / "official"), read(name, tmp_path / "hub")
    assert contents(official) == contents(hub)
    assert official.label_names == hub.label_names == LABELS[name]
    assert official.text_columns == tuple(GLUE[name].texts)
    assert official.splits["test"][0].texts[0].endswith(f'"0 of {official.text_columns[0]}')


@pytest.mark.parametrize("name", get_args(GlueName))
def test_the_official_dev_set_measures_and_dev_is_cut_from_the_training_rows(tmp_path, name):
    write_official(name, tmp_path / "it")
    splits = read(name, tmp_path / "it").splits
    assert {example.path.name for example in (*splits["train"], *splits["dev"])} == {"train.tsv"}
    assert (len(splits["train"]), len(splits["dev"]), len(splits["test"])) == (9, 3, ROWS)
    assert not {example.line for example in splits["train"]} & {example.line for example in splits["dev"]}


def test_mnli_measures_on_both_dev_sets(tmp_path):
    write_official("mnli", tmp_path / "MNLI")
    splits = read("mnli", tmp_path).splits
    assert {split: examples[0].path.name for split, examples in splits.items()} == {
        "train": "train.tsv",
        "dev": "train.tsv",
        "test": "dev_matched.tsv",
        "test_mismatched": "dev_mismatched.tsv",
    }


def test_broken_rows_of_qqp_are_counted_and_those_of_other_tasks_are_errors(tmp_path):
    for name in ("qqp", "rte"):
        write_official(name, tmp_path / name)
        with (tmp_path / name / "train.tsv").open("a") as file:
            file.write("7\t8\n")
    assert read("qqp", tmp_path / "qqp").left_out["malformed"] == 1
    with pytest.raises(UserError, match=r"train\.tsv:14: 2 fields where the table has 4 columns"):
        read("rte", tmp_path / "rte")


def test_an_empty_question_is_left_out_and_counted(tmp_path):
    write_official("qqp", tmp_path / "QQP")
    with (tmp_path / "QQP" / "train.tsv").open("a") as file:
        file.write("7\t8\t9\twhat is it?\t\t0\n")
    assert read("qqp", tmp_path).left_out["empty"] == 1


def test_mrpc_is_read_as_its_authors_publish_it(tmp_path):
    write_official("mrpc", tmp_path / "a")
    (tmp_path / "a/train.tsv").rename(tmp_path / "a/msr_paraphrase_train.txt")
    (tmp_path / "a/dev.tsv").rename(tmp_path / "a/msr_paraphrase_test.txt")
    assert {split: len(examples) for split, examples in read("mrpc", tmp_path / "a").splits.items()} == {
        "train": 9,
        "dev": 3,
        "test": ROWS,
    }


def test_several_shards_are_read_in_order(tmp_path):
    folder = tmp_path / "sst2"
    write_hub("sst2", folder)
    whole = contents(read("sst2", folder))
    table = pq.read_table(folder / "train-00000-of-00001.parquet")
    (folder / "train-00000-of-00001.parquet").unlink()
    for shard in range(2):
        pq.write_table(table.slice(shard * 6, 6), folder / f"train-0000{shard}-of-00002.parquet")
    assert contents(read("sst2", folder)) == whole


def test_a_label_of_another_task_is_refused(tmp_path):
    write_official("mnli", tmp_path / "it")
    path = tmp_path / "it/train.tsv"
    path.write_text(path.read_text().replace("contradiction", "contradicton"))
    with pytest.raises(UserError, match=r"train\.tsv:4: unknown label 'contradicton'; did you mean 'contradiction'\?"):
        read("mnli", tmp_path / "it")


def test_a_folder_without_the_task_is_refused(tmp_path):
    (tmp_path / "train.tsv").touch()
    with pytest.raises(UserError, match=r"task\.data: .* give the folder with train\.tsv and dev\.tsv"):
        read("rte", tmp_path)


@with_data
def test_sst2_as_published_is_read_whole():
    data = read("sst2", DATA / "glue/SST-2")
    assert len(data.splits["train"]) + len(data.splits["dev"]) == 67_349
    assert Counter(example.label for example in data.splits["test"]) == {"negative": 428, "positive": 444}


@with_data
def test_mrpc_as_published_keeps_its_quotes():
    data = read("mrpc", DATA / "glue")
    assert len(data.splits["train"]) + len(data.splits["dev"]) == 4_076
    assert len(data.splits["test"]) == 1_725
    assert sum(example.texts[0].count('"') % 2 for example in data.splits["test"]) > 0
    assert not any("\ufeff" in side for example in data.splits["train"] for side in example.texts)


@with_data
def test_the_sts_benchmark_is_read_from_the_official_layout(tmp_path):
    header = OFFICIAL["stsb"][0]
    for split in ("train", "dev"):
        with (DATA / f"stsb/{split}.csv").open(newline="", encoding="utf-8") as file:
            lines = ["\t".join(["x"] * 7 + row) for row in csv.reader(file)]
        (tmp_path / f"{split}.tsv").write_text("\n".join([header, *lines]), encoding="utf-8")
    data = read("stsb", tmp_path)
    assert (data.kind.name, data.metric, data.label_names) == ("regression", "pearson_and_spearman", ())
    assert len(data.splits["train"]) + len(data.splits["dev"]) == 5_749
    scores = [float(example.label or 0) for example in data.splits["test"]]
    assert (len(scores), min(scores), max(scores)) == (1_500, 0.0, 5.0)
