"""Which columns of a task's files are read: the recipe's settings, checked against each other."""

from pipeline.config.data import Task
from pipeline.data import glue
from pipeline.data.examples import Columns
from pipeline.data.labels import label_name
from pipeline.data.soft_labels import SoftColumns
from pipeline.errors import UserError, require
from pipeline.tasks import kind_of
from pipeline.tasks.base import TaskKind
from pipeline.tasks.sequence import SOFT

ID = "id"
OF_GLUE = (  # settings that a GLUE task knows itself
    *("train", "dev", "test", "text_pair", "labels", "group"),
    *("soft_labels", "label_separator", "label_columns"),
)
OF_VARIANTS = ("source_id", "variant", "replaced")  # columns of every augmented dataset
RESERVED = (*OF_VARIANTS, SOFT)  # SOFT is a column of the rows that a teacher learns


def task_columns(task: Task) -> Columns:
    """What is read of every row. Raises: UserError for settings that contradict each other."""
    kind = kind_of(task)
    if task.glue:
        return _glue_columns(task, kind)
    require(
        not task.data, "task.data: names the folder of a GLUE task; set task.glue too, or give your files in task.train"
    )
    texts = (task.text, task.text_pair) if task.text_pair else (task.text,)
    names = [*texts, task.label, ID]
    if taken := [name for name in (*texts, task.label) if name in RESERVED]:
        raise UserError(
            f"task: the augmented dataset has a column '{taken[0]}' of its own; rename yours, such as '{taken[0]}_'"
        )
    require(
        task.kind != "embedding" or task.text_pair,
        "task.text_pair: name the column of the second text; pairs measure how well texts are embedded",
    )
    may_be_single = kind.name in ("classification", "multi_label", "regression") and task.text_pair
    require(
        may_be_single or not task.pair_or_single,
        "task.pair_or_single: it needs pairs with one answer each, and the task is"
        f" {kind.name}{'' if task.text_pair else ' without task.text_pair'}; leave it out",
    )
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise UserError(
            f"task: the name '{repeated[0]}' is used twice; text, text_pair, label and the row's own '{ID}' differ"
        )
    if task.kind == "multi_label":
        _check_label_sets(task)
    elif task.label_separator or task.label_columns:
        setting = "label_separator" if task.label_separator else "label_columns"
        raise UserError(
            f"task.{setting}: only texts with several labels have it; leave it out, or set task.kind: multi_label"
        )
    soft = _soft_columns(task, kind)
    require(
        not task.labels or kind.has_label_names,
        f"task.labels: a {task.kind} has none; leave it out, or set task.kind: classification",
    )
    labels = tuple(map(label_name, task.labels))
    require(len(set(labels)) == len(labels), f"task.labels: name each label once, not {', '.join(task.labels)}")
    return Columns(
        texts=texts,
        label=task.label,
        has_names=kind.has_label_names,
        group=task.group,
        answer=kind.parse_label,
        known_labels=labels or task.label_columns or (soft.labels() if soft and kind.has_label_names else ()),
        soft=soft,
        label_separator=task.label_separator,
        label_columns=task.label_columns,
        header=task.header,
        drop_labels=frozenset(map(label_name, task.drop_labels)),
        skip_empty=task.skip_empty,
        skip_lost_answers=task.skip_lost_answers,
        pair_or_single=task.pair_or_single,
    )


def _glue_columns(task: Task, kind: TaskKind) -> Columns:
    assert task.glue
    known = glue.GLUE[task.glue]
    for key in OF_GLUE:
        require(not getattr(task, key), f"task.{key}: task.glue: {task.glue} sets it already; leave one of the two out")
    return Columns(
        texts=tuple(known.texts),
        label=glue.LABEL,
        group=None,
        answer=kind.parse_label,
        known_labels=known.label_names,
        drop_labels=frozenset(map(label_name, task.drop_labels)),
        skip_empty=True,  # QQP has empty questions, and nobody can be asked to mend GLUE
    )


def _soft_columns(task: Task, kind: TaskKind) -> SoftColumns | None:
    """Raises: UserError for soft labels that the task cannot have."""
    if not task.soft_labels:
        return None
    if kind.soft_form is None:
        raise UserError(f"task.soft_labels: a task of kind {kind.name} takes none; leave it out")
    soft = SoftColumns(columns=task.soft_labels, are_logits=task.soft_label_values == "logits", form=kind.soft_form)
    known = task.labels or task.label_columns
    texts = [name for name in (task.text, task.text_pair) if name]
    if kind.soft_form == "vectors":
        columns = task.soft_labels
        require(
            isinstance(columns, dict) and sorted(columns) == sorted(texts),
            f"task.soft_labels: embeddings have a vector for each text; write {{{texts[0]}: COLUMN, ...}}, a column for"
            f" each of {', '.join(texts)}",
        )
        assert isinstance(columns, dict)
        return SoftColumns(columns={name: columns[name] for name in texts}, are_logits=False, form="vectors")
    require(
        kind.soft_form != "score" or isinstance(task.soft_labels, str),
        "task.soft_labels: a regression has one column with a score; write its name",
    )
    require(
        not known or not soft.labels() or sorted(known) == sorted(soft.labels()),
        f"task.soft_labels: it names {', '.join(soft.labels())}, but the labels of the task are {', '.join(known)};"
        " name a column for each of these",
    )
    taken = [name for name in soft.names() if name in (task.text, task.text_pair)]
    require(not taken, f"task.soft_labels: the column '{''.join(taken[:1])}' has another use already; rename it")
    return soft


def _check_label_sets(task: Task) -> None:
    """Settings of several labels a text that contradict each other."""
    require(
        not task.drop_labels,
        "task.drop_labels: leaves out rows by their only label, and the task's kind is multi_label; leave it out",
    )
    require(
        not (task.label_columns and task.label_separator),
        "task.label_separator: task.label_columns has a column for each label; leave one of the two out",
    )
    require(
        not task.label_columns or task.labels in ((), task.label_columns),
        "task.labels: the labels are the names of task.label_columns, in their order; leave it out",
    )
    repeated = [name for name in task.label_columns if task.label_columns.count(name) > 1]
    require(not repeated, f"task.label_columns: names '{''.join(repeated[:1])}' twice; name each column once")
