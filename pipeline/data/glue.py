"""The nine GLUE tasks, from their official folders or from the Parquet files of hub:nyu-mll/glue.

Both layouts give the same rows under the hub's names of columns and labels, in the hub's order of labels.

GLUE does not publish the labels of its test files, so they are not read. The official dev set is our `test` (MNLI's
matched set; the mismatched one is `test_mismatched`), and no checkpoint is chosen by it. The `dev` that chooses
checkpoints is held out of the training rows. Published dev scores differ: they choose and report on the same rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.data import GlueName
from pipeline.data import csv_tables, tables
from pipeline.data.rows import Row
from pipeline.errors import UserError

LABEL = "label"  # its column on the hub


@dataclass(frozen=True)
class GlueTask:
    """One task: the names of the same things in its official files and on the hub."""

    folder: str  # the official one
    texts: Mapping[str, str]  # column of a text on the hub to its column in the official files, in order
    label: str  # its column in the official files
    label_names: tuple[str, ...] = ()  # in the hub's order: what 0 and 1 mean in official files; none in regression
    header: tuple[str, ...] = ()  # columns of official files without a header line


ENTAILED = ("entailment", "not_entailment")
SINGLE, PAIR = {"sentence": "sentence"}, {"sentence1": "sentence1", "sentence2": "sentence2"}
PREMISE = {"premise": "sentence1", "hypothesis": "sentence2"}
GLUE: dict[GlueName, GlueTask] = {
    "cola": GlueTask(
        "CoLA", SINGLE, LABEL, ("unacceptable", "acceptable"), header=("source", "label", "star", "sentence")
    ),
    "sst2": GlueTask("SST-2", SINGLE, LABEL, ("negative", "positive")),
    "mrpc": GlueTask(
        "MRPC", {"sentence1": "#1 String", "sentence2": "#2 String"}, "Quality", ("not_equivalent", "equivalent")
    ),
    "stsb": GlueTask("STS-B", PAIR, "score"),
    "qqp": GlueTask(
        "QQP", {"question1": "question1", "question2": "question2"}, "is_duplicate", ("not_duplicate", "duplicate")
    ),
    "mnli": GlueTask("MNLI", PREMISE, "gold_label", ("entailment", "neutral", "contradiction")),
    "qnli": GlueTask("QNLI", {"question": "question", "sentence": "sentence"}, LABEL, ENTAILED),
    "rte": GlueTask("RTE", PAIR, LABEL, ENTAILED),
    "wnli": GlueTask("WNLI", PAIR, LABEL, ("not_entailment", "entailment")),
}


def find_files(name: GlueName, folder: Path) -> Mapping[str, Sequence[Path]]:
    """The files of train, test and, for MNLI, test_mismatched.

    Args: folder: the task's own, or the one that holds the folders of all tasks.
    Raises: UserError where neither layout is there.
    """
    layouts = _layouts(name)
    for base in (folder / GLUE[name].folder, folder / name, folder):
        for layout in layouts:
            files = {split: sorted(base.glob(pattern)) for split, pattern in layout.items()}
            if all(files.values()):
                return files
    wanted = "; or ".join(" and ".join(layout.values()) for layout in layouts)
    raise UserError(f"task.data: {folder} does not hold GLUE's {GLUE[name].folder}: give the folder with {wanted}")


def read_rows(name: GlueName, path: Path, *, malformed: list[int]) -> Iterator[Row]:
    """Rows with the hub's columns; labels by name, scores as the file has them.

    Args: malformed: collects the lines of QQP's broken rows (some questions hold a line end), which are left out.
    Raises: UserError as `pipeline.data.tables.read_rows` does.
    """
    task = GLUE[name]
    if path.suffix == ".parquet":
        columns = {column: column for column in (*task.texts, LABEL)}
        rows = tables.read_rows(path, columns=list(columns))
    else:
        columns = {**task.texts, LABEL: task.label}
        tolerated = malformed if name == "qqp" else None
        rows = csv_tables.read_tsv(path, columns=list(columns.values()), header=task.header, malformed=tolerated)
    numbered = {str(number): label for number, label in enumerate(task.label_names)}
    for row in rows:
        values: dict[str, Any] = {column: row.values[source] for column, source in columns.items()}
        values[LABEL] = numbered.get(str(values[LABEL]), values[LABEL])
        yield Row(row.line, values)


def _layouts(name: GlueName) -> list[dict[str, str]]:
    """Split to file pattern, the official layout first. MRPC's authors publish other files than GLUE's script makes."""
    splits = {"test": "_matched", "test_mismatched": "_mismatched"} if name == "mnli" else {"test": ""}
    official = {"train": "train.tsv"} | {split: f"dev{kind}.tsv" for split, kind in splits.items()}
    hub = {"train": "train-*.parquet"} | {split: f"validation{kind}-*.parquet" for split, kind in splits.items()}
    authors = {"train": "msr_paraphrase_train.txt", "test": "msr_paraphrase_test.txt"}
    return [official, *([authors] if name == "mrpc" else []), hub]
