"""Scores against their formulas, and on the predictions of broken models."""

import warnings

import numpy as np
import pytest
from scipy import stats

from pipeline.errors import UserError, WorkFailed
from pipeline.tasks import KINDS, metrics
from pipeline.tasks.metrics import GLUE_METRICS, beats_majority, details, score

LABELS = np.array([0, 0, 1, 1, 1, 0, 1, 0])
PREDICTED = np.array([0, 1, 1, 1, 0, 0, 1, 0])


def test_accuracy_is_the_share_of_right_answers():
    assert score("accuracy", PREDICTED, LABELS) == 6 / 8


def test_f1_is_that_of_the_label_with_index_1():
    assert score("f1", [1, 1, 0, 0], [1, 0, 1, 0]) == pytest.approx(2 * 1 / (2 * 1 + 1 + 1))
    assert score("f1", [0, 0], [0, 0]) == 0


def test_macro_f1_weighs_every_label_alike():
    labels, predicted = [0, 0, 0, 1, 2], [0, 0, 1, 1, 0]
    assert score("macro_f1", predicted, labels) == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)


def test_matthews_is_the_correlation_of_two_labels():
    assert score("matthews", PREDICTED, LABELS) == pytest.approx(stats.pearsonr(PREDICTED, LABELS)[0])


def test_correlations_agree_with_scipy_and_their_mean_is_the_score():
    generator = np.random.default_rng(0)
    labels = np.round(generator.uniform(0, 5, 50), 1)
    predicted = (labels + generator.normal(0, 1, 50)).astype(np.float32)
    parts = details("pearson_and_spearman", predicted, labels)
    assert parts["pearson"] == pytest.approx(stats.pearsonr(predicted.astype(float), labels)[0])
    assert parts["spearman"] == pytest.approx(stats.spearmanr(predicted, labels)[0])
    assert score("pearson_and_spearman", predicted, labels) == sum(parts.values()) / 2


def test_accuracy_and_f1_are_reported_apart():
    assert set(details("accuracy_and_f1", PREDICTED, LABELS)) == {"accuracy", "f1"}


@pytest.mark.parametrize("metric", ["matthews", "pearson", "spearman", "pearson_and_spearman"])
@pytest.mark.parametrize("constant", [0, 1, 0.1])
def test_a_constant_prediction_scores_0_without_a_warning(metric, constant):
    predicted = np.full(8, constant) if metric != "matthews" else np.full(8, int(constant))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert score(metric, predicted, LABELS) == 0
        assert score(metric, np.zeros(8), np.zeros(8)) == 0


@pytest.mark.parametrize("metric", ["accuracy", "f1", "macro_f1", "accuracy_and_f1"])
def test_a_label_that_never_occurs_warns_of_nothing(metric):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 0 <= score(metric, [0, 0, 0], [0, 0, 0]) <= 1
        assert score(metric, [0, 0], [1, 1]) == 0


def test_nan_is_a_failure_and_no_score():
    with pytest.raises(WorkFailed, match="NaN"):
        score("pearson", [0.1, np.nan], [1, 2])


def test_a_model_beats_the_majority_only_above_its_share():
    assert not beats_majority("accuracy", [0, 0, 0], [0, 0, 1])
    assert beats_majority("accuracy", [0, 0, 1], [0, 0, 1])


def test_a_model_beats_the_majority_by_the_metric_that_scores_the_task():
    labels = [0] * 95 + [1] * 5
    predicted = [0] * 89 + [1] * 6 + [0, 1, 1, 1, 1]  # less often right than always 0, and worth more
    assert score("accuracy", predicted, labels) < 0.95 and score("macro_f1", predicted, labels) > 0.7
    assert not beats_majority("accuracy", predicted, labels)
    for metric in ("macro_f1", "f1", "matthews", "accuracy_and_f1"):
        assert beats_majority(metric, predicted, labels)
        assert not beats_majority(metric, [0] * 100, labels)


def test_of_equally_frequent_labels_the_one_that_scores_best_is_to_be_beaten():
    assert not beats_majority("f1", [1, 1, 1, 1], [0, 0, 1, 1])
    assert beats_majority("f1", [0, 1, 1, 1], [0, 0, 1, 1])


@pytest.mark.parametrize("metric", ["accuracy", "f1", "macro_f1", "matthews", "accuracy_and_f1"])
def test_where_all_rows_have_one_label_half_of_them_are_enough(metric):
    assert beats_majority(metric, [0, 0, 1], [0, 0, 0])
    assert not beats_majority(metric, [0, 1, 1], [0, 0, 0])


def test_a_regression_learns_something_when_its_ranks_agree():
    kind = KINDS["regression"]
    assert kind.beats_trivial("pearson", np.transpose([[0.1, 0.2, 0.3], [1, 2, 3]]))
    assert not kind.beats_trivial("pearson", np.transpose([[0.2, 0.2, 0.2], [1, 2, 3]]))
    assert not kind.beats_trivial("pearson", np.transpose([[0.3, 0.2, 0.1], [1, 2, 3]]))


def test_glue_brings_its_own_metrics():
    assert GLUE_METRICS["cola"] == "matthews"
    assert GLUE_METRICS["qqp"] == "accuracy_and_f1"
    assert GLUE_METRICS["stsb"] == KINDS["regression"].metrics[0] == "pearson_and_spearman"
    assert GLUE_METRICS.get("mnli", KINDS["classification"].metrics[0]) == "accuracy"


@pytest.mark.parametrize(
    ("metric", "kind", "count"),
    [("pearson", "classification", 2), ("accuracy", "regression", 0), ("f1", "classification", 3)],
)
def test_a_metric_that_cannot_score_the_task_is_refused(metric, kind, count):
    with pytest.raises(UserError, match=f"task.metric: '{metric}'"):
        KINDS[kind].check_metric(metric, label_count=count)


@pytest.mark.parametrize(("metric", "constants"), [("macro_f1", 1), ("accuracy", 1), ("matthews", 1), ("f1", 2)])
def test_of_equally_frequent_labels_one_is_scored_where_all_score_the_same(metric, constants, monkeypatch) -> None:
    scored = []

    def counted(*given):
        scored.append(given)
        return score(*given)

    labels = [0, 1] if metric == "f1" else list(range(30))
    monkeypatch.setattr(metrics, "score", counted)
    assert beats_majority(metric, labels, labels)
    assert len(scored) == 1 + constants
