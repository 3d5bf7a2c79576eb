"""Scores of several labels a text against slow loops and sklearn; thresholds against trying them all."""

import tracemalloc
import warnings

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from pipeline.errors import WorkFailed
from pipeline.tasks import label_sets
from pipeline.tasks.label_sets import (
    GRID,
    average_precision,
    beats_constant,
    constant_scores,
    details,
    each_threshold,
    log_odds,
    one_threshold,
    score,
    sigmoid,
)

RANDOM = np.random.default_rng(0)
RIGHT = (RANDOM.random((60, 5)) < [0.5, 0.3, 0.2, 0.05, 0.0]).astype(float)  # the last label occurs nowhere
MARGINS = RANDOM.normal(size=(60, 5)) + 1.5 * RIGHT - 0.5


@pytest.mark.parametrize("name", ["micro", "macro", "sample"])
def test_f1_is_sklearns(name: str) -> None:
    of_nothing = 1.0 if name == "sample" else 0.0
    average = {"sample": "samples"}.get(name, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = f1_score(RIGHT, MARGINS > 0, average=average, zero_division=of_nothing)  # type: ignore[arg-type]
    assert score(f"{name}_f1", MARGINS, RIGHT) == pytest.approx(wanted, abs=1e-12)


def test_mean_average_precision_is_over_the_labels_that_occur() -> None:
    wanted = np.mean([average_precision_score(RIGHT[:, label], MARGINS[:, label]) for label in range(4)])
    assert score("mean_average_precision", MARGINS, RIGHT) == pytest.approx(wanted)
    assert score("mean_average_precision", MARGINS + 3, RIGHT) == pytest.approx(wanted)


@pytest.mark.parametrize("steps", [1, 2, 5, 1000])
def test_average_precision_is_sklearns_also_where_margins_are_equal(steps: int) -> None:
    for rows in (1, 2, 50):
        margins = np.round(RANDOM.normal(size=rows) * steps) / steps
        right = (RANDOM.random(rows) < 0.3).astype(float)
        right[0] = 1
        assert average_precision(margins, right) == pytest.approx(average_precision_score(right, margins), abs=1e-12)
    assert average_precision(np.zeros(4), np.eye(4)[0]) == 0.25


def test_one_constant_is_enough_where_only_the_order_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*given: np.ndarray) -> float:
        calls.append(given)
        return average_precision(*given)

    monkeypatch.setattr(label_sets, "average_precision", counted)
    assert beats_constant("mean_average_precision", MARGINS, RIGHT)
    assert len(calls) == 2 * 4  # the model's and one constant's, of the labels that occur


def test_a_row_that_rightly_gets_no_label_counts_as_right() -> None:
    nothing = np.zeros((4, 3))
    assert score("sample_f1", nothing - 1, nothing) == 1.0
    assert score("sample_f1", nothing + 1, nothing) == 0.0


def test_one_threshold_is_the_best_of_all_that_can_be_tried() -> None:
    tried = [score("macro_f1", MARGINS - log_odds(p), RIGHT) for p in GRID]
    found = one_threshold("macro_f1", MARGINS, RIGHT)
    assert score("macro_f1", MARGINS - log_odds(found), RIGHT) == max(tried)


def test_each_threshold_is_the_best_of_its_label_and_the_common_one_where_the_label_does_not_occur() -> None:
    found = each_threshold(MARGINS, RIGHT, otherwise=0.37)
    for label in range(4):
        right = RIGHT[:, label]
        tried = [f1_score(right, sigmoid(MARGINS[:, label]) > p, zero_division=0.0) for p in GRID]  # type: ignore[arg-type]
        assert f1_score(right, sigmoid(MARGINS[:, label]) > found[label]) == pytest.approx(max(tried))
    assert found[4] == 0.37


def test_thresholds_that_score_alike_are_as_near_to_half_as_can_be() -> None:
    right = np.array([[1.0], [0.0]])
    assert one_threshold("micro_f1", np.array([[9.0], [-9.0]]), right) == 0.5


def test_a_mean_of_two_metrics_has_both_parts() -> None:
    assert set(details("micro_and_macro_f1", MARGINS, RIGHT)) == {"micro_f1", "macro_f1"}


def test_outputs_that_are_no_numbers_are_no_score() -> None:
    with pytest.raises(WorkFailed, match="NaN or infinity"):
        details("micro_f1", np.full((2, 1), np.nan), np.ones((2, 1)))
    with pytest.raises(WorkFailed, match="NaN or infinity"):
        score("mean_average_precision", np.array([[0.5], [np.nan]]), np.ones((2, 1)))


@pytest.mark.parametrize("metric", ["micro_f1", "macro_f1", "sample_f1", "mean_average_precision"])
def test_the_same_labels_for_every_text_are_no_better_than_themselves(metric) -> None:
    assert beats_constant(metric, MARGINS, RIGHT)
    for given in ([1, -1, -1, -1, -1], [1, 1, 1, 1, 1], [-1, -1, -1, -1, -1]):
        assert not beats_constant(metric, np.tile(np.array(given, dtype=float), (60, 1)), RIGHT)


@pytest.mark.parametrize("metric", ["micro_f1", "macro_f1", "sample_f1", "mean_average_precision"])
@pytest.mark.parametrize(("rows", "labels"), [(1, 1), (60, 5), (300, 70)])
def test_the_scores_of_constant_labels_are_those_of_arrays_that_hold_them(metric, rows, labels) -> None:
    right = (RANDOM.random((rows, labels)) < 0.4 * RANDOM.random(labels)).astype(float)
    by_frequency = np.argsort(-right.sum(axis=0), kind="stable")
    wanted = []
    for count in range(labels + 1):
        given = np.full((rows, labels), -1.0)
        given[:, by_frequency[:count]] = 1.0
        wanted.append(score(metric, given, right))
    assert constant_scores(metric, right).tolist() == wanted


def test_a_thousand_labels_are_compared_with_constants() -> None:
    right = (RANDOM.random((1000, 1000)) < 0.01).astype(float)
    for metric in ("micro_f1", "macro_f1", "sample_f1"):
        assert beats_constant(metric, right - 0.5, right)


def test_thresholds_are_chosen_in_the_memory_of_the_outputs() -> None:
    outputs = RANDOM.normal(size=(400, 200)).astype(np.float32)
    right = (outputs > 1).astype(np.float32)
    tracemalloc.start()
    each_threshold(outputs, right, otherwise=0.5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * outputs.nbytes
