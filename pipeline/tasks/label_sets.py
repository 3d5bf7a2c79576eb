"""Scores of several labels a text, and the thresholds above which a label is given.

Legend: R rows, C labels. `margins` (R, C) are outputs whose signs say which labels are given and whose order, within a
label, ranks the rows; `right` (R, C) is 1 where a row has a label.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.config.data import MetricName
from pipeline.errors import WorkFailed
from pipeline.tasks.metrics import NO_NUMBER, mean_of

PARTS: dict[str, tuple[str, ...]] = {"micro_and_macro_f1": ("micro_f1", "macro_f1")}
ALL_SCORES = ("micro_f1", "macro_f1", "sample_f1", "mean_average_precision")
GRID = np.arange(1, 100) / 100  # probabilities that can become a threshold


def details(metric: MetricName, margins: NDArray, right: NDArray) -> dict[str, float]:
    """Each part of a metric that is a mean of two, else the metric alone.

    Raises: WorkFailed where an output is NaN or infinite.
    """
    if not np.isfinite(margins).all():
        raise WorkFailed(NO_NUMBER)
    return {part: score(part, margins, right) for part in PARTS.get(metric, (metric,))}


def score(metric: str, margins: NDArray, right: NDArray) -> float:
    """One of ALL_SCORES.

    micro_f1 counts all pairs of row and label together; macro_f1 is the mean over labels, 0 where a label is neither
    given nor right; sample_f1 is the mean over rows, 1 where a row rightly gets no label (as sklearn's f1_score with
    average micro, macro and samples). mean_average_precision is the mean, over the labels that occur, of sklearn's
    average_precision_score, which needs no threshold.
    """
    if metric == "mean_average_precision":
        return mean_average_precision(margins, right)
    given, is_right = margins > 0, right > 0
    both = given & is_right
    match metric:
        case "micro_f1":
            return float(f1(both.sum(), given.sum(), is_right.sum()))
        case "macro_f1":
            return float(f1(both.sum(axis=0), given.sum(axis=0), is_right.sum(axis=0)).mean())
        case "sample_f1":
            counts = both.sum(axis=1), given.sum(axis=1), is_right.sum(axis=1)
            return float(f1(*counts, of_nothing=1.0).mean())
        case _:
            raise ValueError(f"no metric '{metric}'")


def f1(both: NDArray, given: NDArray, right: NDArray, *, of_nothing: float = 0.0) -> NDArray:
    """2 * both / (given + right), elementwise. Args: of_nothing: where nothing is given and nothing is right."""
    whole = np.asarray(given + right)
    return np.where(whole > 0, 2 * both / np.maximum(whole, 1), of_nothing)


def mean_average_precision(margins: NDArray, right: NDArray) -> float:
    """Over the labels that occur; 0 where none does."""
    occurring = np.flatnonzero(right.sum(axis=0))
    found = [average_precision(margins[:, label], right[:, label]) for label in occurring]
    return float(np.mean(found)) if found else 0.0


def average_precision(margins: NDArray, right: NDArray) -> float:
    """Of one label that occurs, (R,) each: sum over thresholds of (recall gained) * precision.

    As sklearn's average_precision_score, many times faster. Rows with equal margins are above a threshold together.
    Raises: WorkFailed where a margin is NaN, which has no place among the others.
    """
    if np.isnan(margins).any():
        raise WorkFailed(NO_NUMBER)
    order = np.argsort(-margins, kind="stable")
    ranked = margins[order]
    lasts = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)  # of the rows with equal margins
    found = np.cumsum(right[order] > 0)[lasts]
    return float(np.sum(np.diff(found, prepend=0) * found / (lasts + 1)) / found[-1])


def beats_constant(metric: MetricName, margins: NDArray, right: NDArray) -> bool:
    """Whether the score is better than that of the same labels for every row: the most frequent one, or two, ..."""
    scores = np.mean([constant_scores(part, right) for part in PARTS.get(metric, (metric,))], axis=0)
    return _mean(metric, margins, right) > float(scores.max())


def constant_scores(metric: str, right: NDArray) -> NDArray:
    """(C + 1,) scores of giving every row the same labels: none, the most frequent one, the two most frequent, ...

    Exactly those of `score`, without its arrays (R, C) for each of them.
    """
    rows, labels = right.shape
    is_right = right > 0
    having = is_right.sum(axis=0)
    by_frequency = np.argsort(-having, kind="stable")
    match metric:
        case "micro_f1":
            both = np.r_[0, np.cumsum(having[by_frequency])]
            return f1(both, rows * np.arange(labels + 1), having.sum())
        case "macro_f1":
            of_given, rank = f1(having, np.array(rows), having), np.argsort(by_frequency)
            return np.array([np.where(rank < count, of_given, 0.0).mean() for count in range(labels + 1)])
        case "sample_f1":
            in_row, both = is_right.sum(axis=1), np.zeros(rows, dtype=np.int64)
            scores = [f1(both, np.array(0), in_row, of_nothing=1.0).mean()]
            for count, label in enumerate(by_frequency, 1):
                both += is_right[:, label]
                scores.append(f1(both, np.array(count), in_row, of_nothing=1.0).mean())
            return np.array(scores)
        case _:  # it ranks rows, and a constant ranks none before another
            return np.full(labels + 1, score(metric, np.zeros(right.shape), right))


def one_threshold(metric: MetricName, logits: NDArray, right: NDArray) -> float:
    """The probability of GRID, the same for all labels, with the best score; of equals the one nearest to 0.5.

    mean_average_precision does not depend on it, so micro_f1 chooses there.
    """
    metric = "micro_f1" if metric == "mean_average_precision" else metric
    scores = np.array([_mean(metric, logits - log_odds(threshold), right) for threshold in GRID])
    return _nearest_to_half(scores[:, None])[0]


def each_threshold(logits: NDArray, right: NDArray, *, otherwise: float) -> list[float]:
    """Of each label the probability of GRID with its best F1. Args: otherwise: of labels that no row has."""
    is_right, having, scores = right > 0, right.sum(axis=0), []
    for bound in log_odds(GRID):
        given = logits > bound
        scores.append(f1((given & is_right).sum(axis=0), given.sum(axis=0), having))
    best = _nearest_to_half(np.array(scores))
    occurs = (having > 0).tolist()
    return [threshold if has_rows else otherwise for threshold, has_rows in zip(best, occurs, strict=True)]


def log_odds(probability: NDArray | float) -> NDArray:
    """The logit whose sigmoid a probability is."""
    return np.log(probability) - np.log1p(-np.asarray(probability))


def sigmoid(logits: NDArray) -> NDArray:
    """Probabilities, float64, each output on its own."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logits, dtype=np.float64)))


def _mean(metric: MetricName, margins: NDArray, right: NDArray) -> float:
    return mean_of(details(metric, margins, right))


def _nearest_to_half(scores: NDArray) -> list[float]:
    """Of each column of scores (99, C) the threshold of the best; of equals the one nearest to 0.5."""
    distance = np.abs(GRID - 0.5)[:, None]
    order = np.where(scores >= scores.max(axis=0) - 1e-12, distance, np.inf)
    return GRID[order.argmin(axis=0)].tolist()
