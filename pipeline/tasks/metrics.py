"""Scores: larger is better, 1 is perfect, and they are defined for every prediction a model can make.

A model that says the same of every row scores 0 in Matthews' and the other correlations, without a warning. NaN among
predicted numbers is a failure of the model, never a score; in a classification they are labels, which hide it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.config.data import GlueName, MetricName
from pipeline.errors import WorkFailed

PARTS: dict[str, tuple[str, ...]] = {
    "accuracy_and_f1": ("accuracy", "f1"),
    "pearson_and_spearman": ("pearson", "spearman"),
}
GLUE_METRICS: dict[GlueName, MetricName] = {
    "cola": "matthews",
    "mrpc": "accuracy_and_f1",
    "qqp": "accuracy_and_f1",
    "stsb": "pearson_and_spearman",
}
NO_NUMBER = "the model predicts NaN or infinity; a lower learning rate may help"
TWO_LABELS = ("f1", "accuracy_and_f1")


def score(metric: MetricName, predictions: ArrayLike, labels: ArrayLike) -> float:
    """The score that chooses checkpoints and is reported: the mean of `details`."""
    return mean_of(details(metric, predictions, labels))


def mean_of(parts: Mapping[str, float]) -> float:
    """A metric from its parts."""
    return sum(parts.values()) / len(parts)


def details(metric: MetricName, predictions: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Each part of a metric that is a mean of two, else the metric alone.

    Args:
        predictions: (rows,), class indices, or scores for a regression.
        labels: (rows,), what is right.

    Raises: WorkFailed where a prediction is NaN or infinite.
    """
    predicted, right = np.asarray(predictions, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if predicted.shape != right.shape or predicted.ndim != 1 or not predicted.size:
        raise ValueError(f"predictions of shape {predicted.shape} for labels of shape {right.shape}")
    if not np.isfinite(predicted).all():
        raise WorkFailed(NO_NUMBER)
    return {part: _score(part, predicted, right) for part in PARTS.get(metric, (metric,))}


def beats_majority(metric: MetricName, predictions: ArrayLike, labels: ArrayLike) -> bool:
    """Whether a classifier has learnt anything: by its metric it is better than always the most frequent label.

    Where all rows have one label no answer is better than that, and to be right on more than half of them is enough.
    """
    right = np.asarray(labels)
    names, counts = np.unique(right, return_counts=True)
    if len(names) == 1:
        return score("accuracy", predictions, right) > 0.5
    most_frequent = names[counts == counts.max()]  # several where they are equally frequent
    if metric not in TWO_LABELS:
        most_frequent = most_frequent[:1]  # the others score the same: only f1 is of one label
    return score(metric, predictions, right) > max(
        score(metric, np.full_like(right, name), right) for name in most_frequent
    )


def _score(metric: str, predicted: NDArray, right: NDArray) -> float:
    from scipy import stats  # noqa: PLC0415 (a second with sklearn, which no plan waits for)
    from sklearn.metrics import f1_score, matthews_corrcoef  # noqa: PLC0415 (the same)

    zero: Any = 0.0  # sklearn annotates the argument as a string
    match metric:
        case "accuracy":
            return float(np.mean(predicted == right))
        case "f1":  # of the label with index 1: `positive`, `duplicate`, `equivalent`
            return float(f1_score(right, predicted, labels=[1], average="macro", zero_division=zero))
        case "macro_f1":
            return float(f1_score(right, predicted, average="macro", zero_division=zero))
        case "matthews":
            return 0.0 if _constant(predicted, right) else float(matthews_corrcoef(right, predicted))
        case "pearson":
            return 0.0 if _constant(predicted, right) else float(np.corrcoef(predicted, right)[0, 1])
        case "spearman":
            return (
                0.0
                if _constant(predicted, right)
                else float(np.corrcoef(stats.rankdata(predicted), stats.rankdata(right))[0, 1])
            )
        case _:
            raise ValueError(f"no metric '{metric}'")


def _constant(*values: NDArray) -> bool:
    """Whether one of them says the same of all rows, up to rounding."""
    return any(np.ptp(value) <= 1e-12 * np.abs(value).max() for value in values)
