"""Kinds of task: what their rows, tokens, answers and scores are. No torch.

base              class TaskKind
sequence          one answer to a text or pair; classification, multi_label, regression and embedding build on it
token_classification, question_answering, answer_spans, words   named entities; answers in texts; what a word is
metrics           scores of labels and numbers; label_sets: of several labels a text, and their thresholds
per_label         precision, recall and F1 of each label; soft_labels: what a given teacher said of the rows
labelled_data     read, check, split; task_columns: which columns; data_summary: what was read, in lines
tokenised         rows as token sequences
augmented         an augmented dataset that is reused; teacher_labels: whose label each output is
"""

from pipeline.config.data import KindName, Task
from pipeline.data import glue
from pipeline.tasks.base import TaskKind
from pipeline.tasks.classification import ClassificationTask
from pipeline.tasks.embedding import EmbeddingTask
from pipeline.tasks.multi_label import MultiLabelTask
from pipeline.tasks.question_answering import QuestionAnsweringTask
from pipeline.tasks.regression import RegressionTask
from pipeline.tasks.token_classification import TokenClassificationTask

KINDS: dict[KindName, TaskKind] = {
    kind.name: kind
    for kind in (
        ClassificationTask(),
        MultiLabelTask(),
        RegressionTask(),
        TokenClassificationTask(),
        QuestionAnsweringTask(),
        EmbeddingTask(),
    )
}


def kind_of(task: Task) -> TaskKind:
    """The kind of a recipe's task; of a GLUE task the recipe need not say it."""
    if task.glue:
        return KINDS["classification" if glue.GLUE[task.glue].label_names else "regression"]
    return KINDS[task.kind]
