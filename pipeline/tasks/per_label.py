"""How well each label on its own is found: precision, recall and F1, and the curve of precision over recall.

Legend: R rows, C labels. Each label is a question of its own: given or not, right or not.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

CURVES = 4  # labels whose curves are kept: the rarest
POINTS = 60  # of a curve


class OneVersusRest(NamedTuple):
    """A model's answers on some rows, a question a label."""

    given: np.ndarray  # (R, C) whether the model gives the label
    scores: np.ndarray  # (R, C) its probability of it
    right: np.ndarray  # (R, C) whether the row has it


def figures(found: OneVersusRest, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and rows of each label; 0 where a label is never given, or no row has it."""
    both = (found.given & found.right).sum(axis=0)
    given, right = found.given.sum(axis=0), found.right.sum(axis=0)
    return {
        name: {
            "precision": _share(both[label], given[label]),
            "recall": _share(both[label], right[label]),
            "f1": _share(2 * both[label], given[label] + right[label]),
            "rows": int(right[label]),
        }
        for label, name in enumerate(names)
    }


def curves_of_rare_labels(found: OneVersusRest, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Recall and precision at falling thresholds, of the rarest labels that some row has.

    Rare is what fewer rows have than an equal share would be. The points are those of sklearn's
    precision_recall_curve, thinned out.
    """
    from sklearn.metrics import precision_recall_curve  # noqa: PLC0415 (a second, which no plan waits for)

    rows = found.right.sum(axis=0)
    equal = rows.sum() / max(1, len(names))
    rare = [label for label in np.argsort(rows, kind="stable") if 0 < rows[label] < equal][:CURVES]
    curves = {}
    for label in rare:
        precision, recall, _ = precision_recall_curve(found.right[:, label], found.scores[:, label])
        kept = np.unique(np.linspace(0, len(recall) - 1, POINTS).round().astype(int))
        curves[names[label]] = {"recall": recall[kept].tolist(), "precision": precision[kept].tolist()}
    return curves


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
