"""Rows as one rectangle or as buckets: which rows share one, and what is padded."""

import numpy as np
import pytest

from pipeline.hardware import ROUND
from pipeline.models.collate import A_BUCKET, buckets, model_inputs, rounded

LENGTHS = np.random.default_rng(0).integers(3, 30, 53)


def cheapest(lengths: list[int], tokens: int) -> float:
    """The least that any cut of the rows in fours can cost: padded tokens, and A_BUCKET each."""
    if not lengths:
        return 0.0
    sizes = [size for size in (*range(ROUND, len(lengths), ROUND), len(lengths)) if size * lengths[0] <= tokens]
    return min(size * lengths[0] + A_BUCKET + cheapest(lengths[size:], tokens) for size in sizes)


@pytest.mark.parametrize("tokens", [150, 300, 2000])
def test_no_other_cut_into_buckets_is_cheaper(tokens: int) -> None:
    lengths = np.sort(rounded(LENGTHS[:21]))[::-1]
    cost = sum(count * longest + A_BUCKET for count, longest in buckets(lengths, tokens))
    assert cost == cheapest(lengths.tolist(), tokens)


def test_model_inputs_are_padded_on_the_right_with_the_pad_id_up_to_a_multiple_of_four() -> None:
    inputs = model_inputs({"input_ids": [[4, 5, 6], [7]], "token_type_ids": [[0, 0, 1], [0]]}, 9)
    assert inputs["input_ids"].tolist() == [[4, 5, 6, 9], [7, 9, 9, 9]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]
    assert inputs["token_type_ids"].tolist() == [[0, 0, 1, 0], [0, 0, 0, 0]]


def test_model_inputs_have_buckets_where_rows_come_longest_first() -> None:
    rows = [[5] * length for length in (60, 60, 60, 60, 8, 8, 8, 8)]
    assert model_inputs({"input_ids": rows}, 0)["buckets"] == ((4, 60), (4, 8))
    assert "buckets" not in model_inputs({"input_ids": rows[::-1]}, 0)
    assert "buckets" not in model_inputs({"input_ids": rows[:4]}, 0)
