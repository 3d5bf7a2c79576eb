"""Rows become a batch: padded, cut into buckets, moved as one."""

import numpy as np
import pytest
import torch

from pipeline.hardware import ROUND, packing_costs, round_up
from pipeline.models.collate import Batch, buckets, collate

LENGTHS = np.random.default_rng(0).integers(3, 30, 53)
_, BUCKET = packing_costs()
TWO_BUCKETS = [[5] * length for length in (60, 60, 60, 60, 8, 8, 8, 8)]


def cheapest(lengths: list[int], tokens: int) -> float:
    """The least that any cut of the rows in fours can cost: padded tokens, and BUCKET each."""
    if not lengths:
        return 0.0
    sizes = [size for size in (*range(ROUND, len(lengths), ROUND), len(lengths)) if size * lengths[0] <= tokens]
    return min(size * lengths[0] + BUCKET + cheapest(lengths[size:], tokens) for size in sizes)


@pytest.mark.parametrize("tokens", [150, 300, 2000])
def test_no_other_cut_into_buckets_is_cheaper(tokens: int) -> None:
    lengths = np.sort(round_up(LENGTHS[:21]))[::-1]
    cost = sum(count * longest + BUCKET for count, longest in buckets(lengths, tokens))
    assert cost == cheapest(lengths.tolist(), tokens)


def test_a_batch_is_padded_on_the_right_with_the_pad_id_up_to_a_multiple_of_four() -> None:
    columns = {"input_ids": [[4, 5, 6], [7]], "token_type_ids": [[0, 0, 1], [0]]}
    batch = collate(columns, 9, packed=False)
    assert batch.input_ids.tolist() == [[4, 5, 6, 9], [7, 9, 9, 9]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]
    assert batch.token_type_ids is not None and batch.token_type_ids.tolist() == [[0, 0, 1, 0], [0, 0, 0, 0]]


def packing_of(rows: list[list[int]], *, packed: bool = True) -> tuple[tuple[int, int], ...] | None:
    packing = collate({"input_ids": rows}, 0, packed=packed).packing
    return None if packing is None else packing.buckets


def test_a_batch_is_packed_where_models_can_and_rows_come_longest_first_and_padding_is_saved() -> None:
    assert packing_of(TWO_BUCKETS) == ((4, 60), (4, 8))
    assert packing_of(TWO_BUCKETS, packed=False) is None
    assert packing_of(TWO_BUCKETS[::-1]) is None
    assert packing_of(TWO_BUCKETS[:4]) is None


def test_a_padded_batch_is_the_same_without_its_packing() -> None:
    packed, plain = (collate({"input_ids": TWO_BUCKETS}, 0, packed=packed) for packed in (True, False))
    padded = packed.padded()
    assert padded.packing is None and packed.packing is not None
    assert torch.equal(padded.input_ids, plain.input_ids)
    assert torch.equal(padded.attention_mask, plain.attention_mask)


def test_on_a_gpu_a_batch_is_packed_only_where_much_padding_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.hardware.gpu_capabilities", lambda: (9.0,))
    assert packing_of(TWO_BUCKETS) is None
    assert packing_of([[1] * 500] * 8 + [[1] * 8] * 8) == ((8, 500), (8, 8))


def test_a_batch_knows_that_it_holds_no_padding() -> None:
    full, short = (collate({"input_ids": rows}, 0, packed=False) for rows in ([[1] * 8] * 2, [[1] * 8, [1] * 7]))
    assert full.full and full.to(torch.device("meta")).full
    assert not short.full


def test_every_tensor_of_a_batch_is_moved() -> None:
    columns = {"input_ids": TWO_BUCKETS, "token_type_ids": TWO_BUCKETS}
    batch = collate(columns, 0, packed=True).with_targets(labels=torch.ones(8)).with_targets(scores=torch.ones(8))
    moved = batch.to(torch.device("meta"))
    assert len(tensors_of(moved)) == len(tensors_of(batch)) == 10
    assert {tensor.device.type for tensor in tensors_of(moved)} == {"meta"}
    assert moved.targets.keys() == {"labels", "scores"}


def tensors_of(batch: Batch) -> list[torch.Tensor]:
    assert batch.packing is not None and batch.token_type_ids is not None
    of_packing = [*batch.packing.real, *batch.packing[2:]]
    return [batch.input_ids, batch.attention_mask, batch.token_type_ids, *of_packing, *batch.targets.values()]
