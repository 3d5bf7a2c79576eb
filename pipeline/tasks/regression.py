"""Give a text, or a pair of texts, a number."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.training import DistillPredictions
from pipeline.data.examples import parse_score
from pipeline.data.parquet import is_number
from pipeline.data.splits import find_label_names
from pipeline.tasks import sequence
from pipeline.tasks.base import Kind, Splits
from pipeline.tasks.metrics import score

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor
    from transformers import PreTrainedModel

    from pipeline.heads.regression import Scale


def feature(label_names: tuple[str, ...]) -> Any:
    """A number."""
    from datasets import Value  # noqa: PLC0415

    return Value("float32")


def column_fits(column: "pa.DataType") -> bool:
    """Numbers do."""
    return is_number(column)


def label_names(splits: Splits, known: tuple[str, ...]) -> tuple[str, ...]:
    """None; raises UserError where all rows have one score."""
    find_label_names(splits["train"], known)
    return ()


def supervised(outputs: "Tensor", inputs: "dict[str, Tensor]", weight: int) -> "dict[str, Tensor]":
    """Squared gap to the score."""
    from pipeline.losses.tinybert import regression_loss  # noqa: PLC0415

    return {"score": regression_loss(outputs, inputs["labels"][:, None], examples=weight)}


def distilled(
    student: "Tensor", teacher: "Tensor", inputs: "dict[str, Tensor]", weight: int, settings: DistillPredictions
) -> "Tensor":
    """Squared gap to the teacher's score."""
    from pipeline.losses.tinybert import regression_loss  # noqa: PLC0415

    return regression_loss(student, teacher, examples=weight)


def load(*args: Any, **settings: Any) -> "PreTrainedModel":
    """A model with a head for one score, which computes in float32."""
    from pipeline.heads.regression import make_exact  # noqa: PLC0415

    model = sequence.load(*args, **settings)
    make_exact(model)
    return model


def scale(scores: np.ndarray) -> "Scale":
    """Mean and spread of the scores of a training."""
    from pipeline.heads.regression import Scale  # noqa: PLC0415

    return Scale.of(scores)


def agreement(theirs: np.ndarray, ours: np.ndarray) -> float:
    """Pearson's correlation of the two models' scores."""
    return score("pearson", ours, theirs)


def correlates(statistics: np.ndarray) -> bool:
    """Whether Spearman's correlation is above 0."""
    return score("spearman", statistics[:, 0], statistics[:, 1]) > 0


KIND = Kind(
    metrics=("pearson_and_spearman", "pearson", "spearman"),
    answer=parse_score,
    label_names=label_names,
    has_label_names=False,
    feature=feature,
    column_fits=column_fits,
    column_needs="the scores of a regression are needed",
    encode=sequence.encode,
    targets=sequence.targets,
    load=load,
    save=sequence.save,
    head="ForSequenceClassification",
    supervised=supervised,
    scale=scale,
    distilled=distilled,
    gold=sequence.gold,
    answers=lambda outputs, encoded, dataset: outputs[:, 0],
    written=lambda answers, outputs, label_names: {"": answers.astype(np.float64).tolist()},
    statistics=sequence.statistics,
    details=sequence.details,
    beats_trivial=lambda metric, statistics: correlates(statistics),
    agreement=agreement,
)
