"""Choose one of several labels for a text, or a pair of texts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.training import DistillPredictions
from pipeline.data.examples import parse_label
from pipeline.data.splits import check_labels, find_label_names
from pipeline.tasks import sequence
from pipeline.tasks.base import Kind, Splits
from pipeline.tasks.metrics import beats_majority

if TYPE_CHECKING:
    from torch import Tensor


def feature(label_names: Sequence[str]) -> Any:
    """A label's number, with its name."""
    from datasets import ClassLabel  # noqa: PLC0415

    return ClassLabel(names=list(label_names))


def label_names(splits: Splits, known: tuple[str, ...]) -> tuple[str, ...]:
    """The recipe's names, or the labels of the training rows, sorted."""
    return find_label_names(splits["train"], known)


def supervised(outputs: "Tensor", inputs: "dict[str, Tensor]", weight: int) -> "dict[str, Tensor]":
    """Cross-entropy of the labels."""
    from pipeline.losses.tinybert import label_loss  # noqa: PLC0415

    return {"label": label_loss(outputs, inputs["labels"], examples=weight)}


def distilled(
    student: "Tensor", teacher: "Tensor", inputs: "dict[str, Tensor]", weight: int, settings: DistillPredictions
) -> "Tensor":
    """Soft cross-entropy of the logits (TinyBERT eq. 10)."""
    from pipeline.losses.tinybert import prediction_loss  # noqa: PLC0415

    return prediction_loss(student, teacher, temperature=settings.temperature, examples=weight)


def written(answers: np.ndarray, outputs: np.ndarray, label_names: tuple[str, ...]) -> dict[str, list]:
    """Label names, and the model's `probability` of each."""
    from scipy.special import softmax  # noqa: PLC0415

    probabilities = softmax(outputs.astype(np.float64), axis=1).max(axis=1)
    return {"": [label_names[number] for number in answers], "probability": probabilities.tolist()}


def agreement(theirs: np.ndarray, ours: np.ndarray) -> float:
    """Share of the rows with the same answer."""
    return float((theirs == ours).mean())


KIND = Kind(
    metrics=("accuracy", "f1", "macro_f1", "accuracy_and_f1", "matthews"),
    answer=parse_label,
    label_names=label_names,
    check=check_labels,
    stratum=lambda example: example.label,
    feature=feature,
    value=lambda label, numbers: None if label is None else numbers[label],
    encode=sequence.encode,
    targets=sequence.targets,
    load=sequence.load,
    save=sequence.save,
    head="ForSequenceClassification",
    supervised=supervised,
    distilled=distilled,
    gold=sequence.gold,
    answers=lambda outputs, encoded, dataset: outputs.argmax(axis=1),
    written=written,
    statistics=sequence.statistics,
    details=sequence.details,
    beats_trivial=lambda metric, statistics: beats_majority(metric, *statistics.T),
    agreement=agreement,
)
