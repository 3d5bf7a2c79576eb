"""What sits on the encoder, one module a kind of task: loading, saving, outputs, targets and losses.

base                   class Head
fit                    a head by least squares
classification, multi_label, regression, token_classification, question_answering, embedding
"""

from pipeline.config.data import KindName
from pipeline.heads.base import Head
from pipeline.heads.classification import ClassificationHead
from pipeline.heads.embedding import EmbeddingHead
from pipeline.heads.multi_label import MultiLabelHead
from pipeline.heads.question_answering import QuestionAnsweringHead
from pipeline.heads.regression import RegressionHead
from pipeline.heads.token_classification import TokenClassificationHead
from pipeline.tasks.base import TaskKind

HEADS: dict[KindName, Head] = {
    "classification": ClassificationHead(),
    "multi_label": MultiLabelHead(),
    "regression": RegressionHead(),
    "token_classification": TokenClassificationHead(),
    "question_answering": QuestionAnsweringHead(),
    "embedding": EmbeddingHead(),
}


def head_of(kind: TaskKind) -> Head:
    """The head of a kind of task."""
    return HEADS[kind.name]
