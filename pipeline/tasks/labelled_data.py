"""The labelled data of a task: read, checked, split. Needs neither torch nor datasets.

Splits: `train`; `dev`, which chooses checkpoints; `test`, which only measures, and for MNLI `test_mismatched`; and
`unlabelled`, more text to distil on. Whoever needs rows asks `read_task`, and gets the same rows in the same order.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.config.data import MetricName, Task
from pipeline.data import glue
from pipeline.data.examples import Columns, Example, read_examples
from pipeline.data.parquet import read_schema
from pipeline.data.splits import check_groups, split_by_group, split_by_label, without_repeats
from pipeline.errors import UserError
from pipeline.tasks import kind_of
from pipeline.tasks.base import TaskKind
from pipeline.tasks.metrics import GLUE_METRICS
from pipeline.tasks.soft_labels import label_order, with_logits
from pipeline.tasks.task_columns import OF_VARIANTS, task_columns


@dataclass(frozen=True, kw_only=True)
class TaskData:
    """A task's rows and what they mean."""

    name: str  # GLUE's name, or that of the first training file
    kind: TaskKind
    text_columns: tuple[str, ...]  # one column, or two for a pair, under the task's own names
    label_column: str
    label_names: tuple[str, ...]  # in the order of the model's outputs; empty for a regression
    metric: MetricName
    splits: Mapping[str, Sequence[Example]]
    left_out: Mapping[str, int]
    """Rows left out: 'dropped' for their label, 'empty', 'repeated', 'malformed' (QQP has some), 'lost' answers."""
    remarks: tuple[str, ...] = ()  # what was done to soft labels, in sentences

    @cached_property
    def label_numbers(self) -> Mapping[str, int]:
        """The number of each label."""
        return {name: number for number, name in enumerate(self.label_names)}

    def texts_to_vary(self) -> list[str]:
        """The different texts of training and unlabelled rows, in the order in which each first occurs."""
        rows = [*self.splits["train"], *self.splits.get("unlabelled", ())]
        return list(dict.fromkeys(text for example in rows for text in example.texts if text))


def read_task(task: Task, files: Mapping[str, Sequence[Path]]) -> TaskData:
    """Read, check and split.

    Args:
        task: the recipe's section.
        files: local paths under 'train', 'dev', 'test' and 'unlabelled'; or under 'glue' one folder.

    Raises: UserError, with file and line or key, for the first thing that is wrong.
    """
    columns = task_columns(task)
    left_out: Counter[str] = Counter(dropped=0, empty=0, repeated=0, malformed=0)
    splits = _read_splits(task, files, columns, left_out)
    if task.drop_repeats:
        splits = without_repeats(splits, left_out)  # train wins over dev, dev over test, test over unlabelled
    if columns.group:
        check_groups(splits, columns.group)
    kind, remarks = kind_of(task), []
    known = columns.known_labels
    if columns.soft:
        order: list[str] = []
        if kind.has_label_names and not known:
            known, order = label_order(kind, splits, columns.soft)
        splits, remarks = with_logits(kind, splits, columns.soft, known)
        remarks = [*order, *remarks]
    label_names = kind.label_names(splits, known)
    splits = _hold_out(task, splits, columns)
    kind.check(splits, label_names)
    default = GLUE_METRICS.get(task.glue, kind.metrics[0]) if task.glue else kind.metrics[0]
    metric = task.metric or default
    kind.check_metric(metric, label_count=len(label_names))
    return TaskData(
        name=task.glue or files["train"][0].name.split(".")[0],
        kind=kind,
        text_columns=columns.texts,
        label_column=columns.label,
        label_names=label_names,
        metric=metric,
        splits=splits,
        left_out=dict(left_out),
        remarks=tuple(remarks),
    )


def _read_splits(
    task: Task, files: Mapping[str, Sequence[Path]], columns: Columns, left_out: Counter[str]
) -> dict[str, list[Example]]:
    """The examples of every split that has files of its own."""
    splits: dict[str, list[Example]] = {}
    malformed: list[int] = []
    for split, paths in _labelled_files(task, files).items():
        splits[split] = []
        for path in paths:
            if split == "train" and not task.group and not {"dev", "test"} <= files.keys():
                _refuse_variants(path)
            if task.glue:
                rows = glue.read_rows(task.glue, path, malformed=malformed)
                splits[split] += read_examples(rows, path=path, columns=columns, left_out=left_out)
            else:
                splits[split] += kind_of(task).read(path, columns, left_out)
    if files.get("unlabelled"):
        texts = columns.without_labels()
        splits["unlabelled"] = []
        for path in files["unlabelled"]:
            splits["unlabelled"] += kind_of(task).read(path, texts, left_out)
    left_out["malformed"] = len(malformed)
    return splits


def _refuse_variants(path: Path) -> None:
    """Raises UserError for an augmented dataset, of which dev or test rows are to be held out."""
    if path.suffix.lower() == ".parquet" and set(OF_VARIANTS) <= set(read_schema(path).names):
        raise UserError(
            f"task.train: {path} is an augmented dataset: of one text some variants would be trained on, others tested;"
            " name it in augment_data.reuse, beside the rows that it was made from, or set task.group: source_id"
        )


def _labelled_files(task: Task, files: Mapping[str, Sequence[Path]]) -> Mapping[str, Sequence[Path]]:
    if task.glue:
        if not files.get("glue"):
            raise UserError(f"task.data: empty; give the folder of GLUE's {task.glue}, or hub:nyu-mll/glue")
        return glue.find_files(task.glue, files["glue"][0])
    if not files.get("train"):
        raise UserError("task.train: empty; name your training files, or set task.glue")
    return {split: files[split] for split in ("train", "dev", "test") if files.get(split)}


def _hold_out(task: Task, splits: Mapping[str, list[Example]], columns: Columns) -> dict[str, list[Example]]:
    """Cut dev and test out of train where they have no files of their own, and put the splits in order.

    Raises: UserError for a split without a row.
    """
    train = splits["train"]
    asked = {"test": task.test_share, "dev": task.dev_share}  # test first: dev's share does not move it
    shares = {split: share for split, share in asked.items() if split not in splits}
    if sum(shares.values()) >= 1:
        raise UserError(
            f"task.dev_share, task.test_share: together {sum(shares.values()):g}, which leaves no training row"
        )
    kind = kind_of(task)
    strata = kind.strata(train)
    groups = [example.group if columns.group else kind.origin(example) for example in train]
    grouped = bool(columns.group) or any(group is not None for group in groups)
    if grouped:
        held_out = split_by_group(groups, strata, shares=shares, seed=task.split_seed)
    else:
        held_out = split_by_label(strata, shares=shares, seed=task.split_seed)
    taken = {row for rows in held_out.values() for row in rows}
    cut = dict(splits) | {split: [train[row] for row in rows] for split, rows in held_out.items()}
    cut["train"] = [example for row, example in enumerate(train) if row not in taken]
    labels = len(set(strata))
    spare = len(train) - labels
    for split, examples in cut.items():
        if not examples and split in shares and not grouped and spare < len(shares) and labels > 1:
            raise UserError(
                f"task.{split}_share: each label keeps a training row, so of the {len(train)} rows {spare or 'none'}"
                " can be held out; give files in task.dev and task.test, or more rows"
            )
        if not examples and train and split in ("train", *shares):
            raise UserError(
                f"task.{split if split in shares else 'dev'}_share: the {len(train)} rows"
                f"{' and their groups' if grouped else ''} are too few for a row in {split}; change the share, or"
                " give files in task.dev and task.test"
            )
        if not examples:
            raise UserError(
                f"task.{'data' if task.glue else split}: no {split} row is left; the files are empty, or every row"
                " was left out"
            )
    order = ("train", "dev", "test", "test_mismatched", "unlabelled")
    return {split: cut[split] for split in order if split in cut}
