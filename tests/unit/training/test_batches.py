"""Which rows go through the model when."""

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from pipeline.hardware import round_up
from pipeline.models.collate import buckets
from pipeline.training.batches import BatchPlan, GlobalBatch, Groups, cut_into_micro_batches

LENGTHS = np.random.default_rng(0).integers(3, 30, 53)


def plan(lengths: np.ndarray = LENGTHS, *, epochs: float = 3, seed: int = 0, groups: Groups | None = None) -> BatchPlan:
    return BatchPlan(lengths, batch_size=8, epochs=epochs, micro_batch_tokens=64, seed=seed, groups=groups)


def rows_of(batch: GlobalBatch) -> list[int]:
    return [int(row) for rows in batch.micro_batches for row in rows]


def epoch_rows(batches: BatchPlan, epoch: int) -> list[int]:
    steps = range(epoch * batches.steps_per_epoch, (epoch + 1) * batches.steps_per_epoch)
    return [row for step in steps for row in rows_of(batches.at(step))]


def test_an_epoch_shows_every_row_once_in_another_order_each_time() -> None:
    orders = [epoch_rows(plan(), epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(53)) for order in orders)
    assert orders[0] != orders[1] != orders[2]


def test_the_last_short_batch_is_kept() -> None:
    assert [plan().at(step).examples for step in range(7)] == [8] * 6 + [5]


def test_a_batch_counts_its_real_examples_tokens_and_pairs() -> None:
    batch = plan().at(2)
    lengths = LENGTHS[rows_of(batch)]
    assert (batch.examples, batch.tokens, batch.pairs) == (8, lengths.sum(), (lengths * lengths).sum())


def test_steps_know_their_epoch() -> None:
    assert [plan().at(step).epoch for step in (0, 6, 7, 13, 14)] == [0, 0, 1, 1, 2]


def test_micro_batches_partition_the_batch_within_the_token_budget() -> None:
    rows = np.arange(100, 153)
    packed = list(cut_into_micro_batches(rows, LENGTHS, 64, packed=True))
    assert sorted(np.concatenate(packed).tolist()) == rows.tolist()
    for part in packed:
        assert sum(count * longest for count, longest in buckets(LENGTHS[part - 100], 64)) <= 64


def test_micro_batches_hold_rows_of_similar_lengths() -> None:
    packed = [LENGTHS[part] for part in cut_into_micro_batches(np.arange(53), LENGTHS, 64, packed=True)]
    assert all(earlier.min() >= later.max() for earlier, later in pairwise(packed))


def test_a_row_longer_than_the_budget_goes_alone() -> None:
    packed = cut_into_micro_batches(np.arange(3), np.array([8, 100, 8]), 20, packed=True)
    assert [part.tolist() for part in packed] == [[1], [0, 2]]


def test_a_micro_batch_is_as_many_buckets_as_fit() -> None:
    lengths = np.sort(np.random.default_rng(1).integers(3, 65, 32))[::-1]
    cut = buckets(lengths, 1000)
    assert len(cut) > 2
    tokens = sum(count * longest for count, longest in cut)
    (whole,) = cut_into_micro_batches(np.arange(32), lengths, tokens, packed=True)
    assert whole.tolist() == list(range(32))


def test_for_models_that_pad_a_micro_batch_is_one_bucket_and_a_pass_costs_more() -> None:
    lengths = np.sort(np.random.default_rng(1).integers(3, 65, 64))[::-1]
    parts = cut_into_micro_batches(np.arange(64), lengths, 1000, packed=False)
    assert [len(part) for part in parts] == [count for count, _ in buckets(lengths, 1000, cost=1000 // 16)]
    assert len(parts) > 2
    assert all(len(part) * round_up(lengths[part].max()) <= 1000 for part in parts)


def test_a_plan_for_models_that_pad_has_the_same_rows_a_step_in_micro_batches_within_the_budget() -> None:
    lengths = np.random.default_rng(0).integers(3, 120, 256)
    shape: dict[str, Any] = {"batch_size": 32, "epochs": 1, "micro_batch_tokens": 512, "seed": 0}
    packs, pads = (BatchPlan(lengths, **shape, packed=packed) for packed in (True, False))
    largest = {}
    for plan_of in (packs, pads):
        parts = [part for step in range(plan_of.steps) for part in plan_of.at(step).micro_batches]
        largest[plan_of.packed] = max(len(part) * round_up(lengths[part].max()) for part in parts)
    assert largest[False] <= 512 < largest[True]
    for step in range(packs.steps):
        assert sorted(rows_of(packs.at(step))) == sorted(rows_of(pads.at(step)))


def test_a_batch_is_a_function_of_seed_and_step_alone() -> None:
    forwards, backwards = plan(), plan()
    there = [rows_of(forwards.at(step)) for step in range(21)]
    back = [rows_of(backwards.at(step)) for step in reversed(range(21))]
    assert there == back[::-1]


@pytest.mark.parametrize(("epochs", "echo"), [(3, 2), (3, 3), (10, 2), (0.5, 3), (12, 5)])
def test_batches_come_again_after_at_most_sixteen_others(epochs: float, echo: int) -> None:
    once = plan(epochs=epochs)
    echoed = BatchPlan(LENGTHS, batch_size=8, epochs=epochs, micro_batch_tokens=64, seed=0, echo=echo)
    assert echoed.steps == once.steps
    batches = [echoed.at(step) for step in range(echoed.steps)]
    right: list[int] = []
    for first in range(0, -(-once.steps // echo), 16):
        right += [*range(first, min(first + 16, -(-once.steps // echo)))] * echo
    right = right[: once.steps]
    for step, (number, batch) in enumerate(zip(right, batches, strict=True)):
        original = once.at(number)
        assert (rows_of(batch), batch.epoch, batch.step) == (rows_of(original), original.epoch, step)
        assert batch.comes_again == (number in right[step + 1 :])


def test_a_plan_without_steps_has_a_batch_to_look_at() -> None:
    batches = BatchPlan(LENGTHS, batch_size=8, epochs=0, micro_batch_tokens=64, seed=0, echo=2)
    assert batches.steps == 0
    assert rows_of(batches.at(0)) == rows_of(plan().at(0))


def test_another_seed_gives_another_order() -> None:
    assert epoch_rows(plan(seed=0), 0) != epoch_rows(plan(seed=1), 0)


def test_the_micro_batch_budget_moves_no_row_to_another_step() -> None:
    other = BatchPlan(LENGTHS, batch_size=8, epochs=3, micro_batch_tokens=1000, seed=0)
    assert all(sorted(rows_of(plan().at(step))) == sorted(rows_of(other.at(step))) for step in range(21))


@pytest.mark.parametrize(("epochs", "steps"), [(0, 0), (0.01, 1), (0.5, 4), (1, 7), (2.5, 18)])
def test_epochs_may_be_a_fraction(epochs: float, steps: int) -> None:
    assert plan(epochs=epochs).steps == steps


def source_ids(variants: int) -> np.ndarray:
    return np.repeat(np.arange(20), variants)


def grouped(variants: int) -> BatchPlan:
    ids = source_ids(variants)
    return plan(np.full(len(ids), 5), groups=Groups.of(ids))


def test_groups_are_runs_of_equal_neighbours() -> None:
    groups = Groups.of(np.array([7, 7, 7, 2, 9, 9]))
    assert (groups.first.tolist(), groups.count.tolist()) == ([0, 3, 4], [3, 1, 2])


def test_an_epoch_shows_one_row_of_each_group() -> None:
    shown = source_ids(4)[epoch_rows(grouped(4), 0)]
    assert sorted(shown.tolist()) == list(range(20))


def test_after_as_many_epochs_as_a_group_has_rows_each_was_shown_once() -> None:
    shown = Counter(row for epoch in range(4) for row in epoch_rows(grouped(4), epoch))
    assert shown == Counter(range(80))


def test_groups_do_not_all_begin_with_the_same_variant() -> None:
    assert len({row % 4 for row in epoch_rows(grouped(4), 0)}) > 1


def test_the_number_of_variants_does_not_change_the_number_of_steps() -> None:
    assert {grouped(variants).steps for variants in (1, 3, 21)} == {9}
