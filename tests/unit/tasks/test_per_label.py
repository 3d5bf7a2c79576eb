"""Each label on its own, against slow loops and sklearn."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, precision_recall_fscore_support

from pipeline.tasks import KINDS
from pipeline.tasks.classification import balanced
from pipeline.tasks.per_label import POINTS, curves_of_rare_labels, figures

RANDOM = np.random.default_rng(1)
LABELS = RANDOM.choice(3, size=300, p=[0.6, 0.35, 0.05])
OUTPUTS = RANDOM.normal(size=(300, 3)) + 2 * np.eye(3)[LABELS]
FOUND = KINDS["classification"].one_versus_rest(OUTPUTS.argmax(axis=1), OUTPUTS, LABELS)
NAMES = ("often", "sometimes", "rarely")


def test_precision_recall_and_f1_are_sklearns() -> None:
    assert FOUND is not None
    wanted = np.array(precision_recall_fscore_support(LABELS, OUTPUTS.argmax(axis=1)))
    for number, found in enumerate(figures(FOUND, NAMES).values()):
        assert list(found.values()) == pytest.approx(wanted[:, number].tolist())


def test_a_label_that_is_never_given_has_0() -> None:
    assert FOUND is not None
    found = figures(FOUND._replace(given=np.zeros_like(FOUND.given)), NAMES)["rarely"]
    assert (found["precision"], found["recall"], found["f1"]) == (0, 0, 0) and found["rows"] > 0


def test_rare_labels_have_the_points_of_sklearns_curve() -> None:
    assert FOUND is not None
    curves = curves_of_rare_labels(FOUND, NAMES)
    assert list(curves) == ["rarely"]  # the others have more than an equal share, a third
    precision, recall, _ = precision_recall_curve(LABELS == 2, FOUND.scores[:, 2])
    points = set(zip(recall.tolist(), precision.tolist(), strict=True))
    found = list(zip(curves["rarely"]["recall"], curves["rarely"]["precision"], strict=True))
    assert len(found) <= POINTS and set(found) <= points and found[-1] == (0.0, 1.0)


def test_balanced_weights_are_sklearns_and_every_label_weighs_the_same() -> None:
    counts = np.bincount(LABELS)
    assert (balanced(counts) * counts).tolist() == pytest.approx([100.0] * 3)
    assert balanced(np.array([4, 0])).tolist() == [0.5, 1.0]
    tags = KINDS["token_classification"].balanced_weights([[0, 0, 1], [0]], 2)
    assert tags.tolist() == pytest.approx([4 / 6, 2.0])


def test_of_several_labels_a_text_those_with_and_without_weigh_the_same() -> None:
    references = (RANDOM.random((50, 2)) < [0.1, 0.7]).astype(float)
    weights = KINDS["multi_label"].balanced_weights(references, 2)
    having = references.sum(axis=0)
    assert (weights * having).tolist() == pytest.approx((50 - having).tolist())
