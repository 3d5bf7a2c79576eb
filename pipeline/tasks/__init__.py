"""The kinds of task, one module each. A new one is a module of this package and a line of `KINDS` (and its name, and
those of new metrics and settings, in `pipeline/config/data.py`)."""

from pipeline.config.data import GlueName, KindName, MetricName, Task
from pipeline.data import glue
from pipeline.errors import UserError
from pipeline.tasks import classification, embedding, question_answering, regression, token_classification
from pipeline.tasks.base import Kind
from pipeline.tasks.metrics import GLUE_METRICS, TWO_LABELS

KINDS: dict[KindName, Kind] = {
    "classification": classification.KIND,
    "regression": regression.KIND,
    "token_classification": token_classification.KIND,
    "question_answering": question_answering.KIND,
    "embedding": embedding.KIND,
}


def kind_name(task: Task) -> KindName:
    """The kind that a recipe's task is of; of a GLUE task the recipe need not say it."""
    if task.glue:
        return "classification" if glue.GLUE[task.glue].label_names else "regression"
    return task.kind


def kind_of(task: Task) -> Kind:
    """What the pipeline knows about a recipe's kind of task."""
    return KINDS[kind_name(task)]


def default_metric(kind: KindName, glue: GlueName | None = None) -> MetricName:
    """GLUE's own metric of its task, or the kind's first."""
    return GLUE_METRICS[glue] if glue in GLUE_METRICS else KINDS[kind].metrics[0]


def check_metric(metric: MetricName, *, kind: KindName, label_count: int) -> None:
    """Raises: UserError where the metric cannot score the task."""
    if metric not in KINDS[kind].metrics:
        raise UserError(f"task.metric: '{metric}' does not score a {kind}; '{default_metric(kind)}' does")
    if metric in TWO_LABELS and label_count != 2:
        raise UserError(
            f"task.metric: '{metric}' needs two labels and the task has {label_count}; 'macro_f1' takes any"
        )
