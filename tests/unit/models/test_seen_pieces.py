"""Embeddings of which only those that occur are trained."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertForMaskedLM

from pipeline.models.fake_quantisation import fake_quantise
from pipeline.models.seen_pieces import SeenPieces, seen_pieces
from pipeline.training.loop import train
from tests.helpers.one_process import make_stage
from tests.helpers.tiny_job import ROWS, SETTINGS, classifier, collate, job

UNDECAYED = replace(SETTINGS, weight_decay=0.0)
BATCH = collate(np.argsort([-len(collate(np.array([row]), 0).input_ids[0]) for row in range(ROWS)]), 0)
COUNTS = np.bincount(BATCH.input_ids[BATCH.attention_mask.bool()].numpy())


def table_of(model: torch.nn.Module) -> torch.Tensor:
    return model.get_parameter("bert.embeddings.word_embeddings.weight")


def test_a_training_ends_with_the_same_weights_as_one_of_the_whole_table(tmp_path: Path) -> None:
    whole, ours = job(dropout=0, settings=UNDECAYED), job(dropout=0, settings=UNDECAYED)
    before = table_of(ours.model).detach().clone()
    train(whole, make_stage(tmp_path / "whole"))
    with seen_pieces(ours.model, COUNTS):  # type: ignore[arg-type]
        assert len(table_of(ours.model)) == np.count_nonzero(COUNTS) < len(before)
        train(ours, make_stage(tmp_path / "ours"))
    for (name, right), found in zip(whole.model.named_parameters(), ours.model.parameters(), strict=True):
        torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-6, msg=name)
    moved = (table_of(ours.model) != before).any(dim=1).numpy()
    assert moved.tolist() == [bool(n < len(COUNTS) and COUNTS[n]) for n in range(len(before))]


def test_where_they_ship_in_4_bits_a_pass_reads_them_rounded_and_they_learn(tmp_path: Path) -> None:
    ours = job(dropout=0)
    table = table_of(ours.model)
    before = table.detach().clone()
    with seen_pieces(ours.model, COUNTS, in_4_bits=True):  # type: ignore[arg-type]
        part, ids = ours.model.get_submodule("bert.embeddings.word_embeddings"), torch.arange(len(before))
        torch.testing.assert_close(part(ids), fake_quantise(before))
        train(ours, make_stage(tmp_path))
        learnt = part(ids)
    torch.testing.assert_close(table_of(ours.model), learnt)
    torch.testing.assert_close(fake_quantise(table), table, rtol=1e-6, atol=0)
    assert not torch.equal(table, fake_quantise(before))


@pytest.mark.parametrize("padding", [0, None])
def test_pieces_that_do_not_occur_are_read_as_before_and_learn_nothing(padding: int | None) -> None:
    table = torch.nn.Embedding(10, 4, padding_idx=padding)
    part = SeenPieces(table, torch.tensor([0, 3, 4, 7]))
    ids = torch.tensor([[0, 1, 3, 9], [7, 7, 4, 2]])
    found = part(ids)
    assert torch.equal(found, table(ids))
    found.square().sum().backward()
    assert part.weight.grad is not None
    once = torch.cat([part.weight[1:3], 2 * part.weight[3:]])
    of_padding = part.weight[:1] if padding is None else torch.zeros(1, 4)
    torch.testing.assert_close(part.weight.grad, 2 * torch.cat([of_padding, once]))
    assert [name for name, _ in part.named_parameters()] == ["weight"]
    assert list(part.buffers()) == []  # which several processes would exchange in every step
    moved = part.to("meta")
    assert {moved.table.device.type, moved.row_V.device.type, moved.weight.device.type} == {"meta"}
    assert list(part.state_dict()) == ["weight"]


def test_a_table_that_is_fixed_or_shared_with_a_head_stays(tmp_path: Path) -> None:
    fixed, shared = classifier(), BertForMaskedLM(classifier().config)
    table_of(fixed).requires_grad_(False)
    for model in (fixed, shared):
        table = model.get_input_embeddings()
        with seen_pieces(model, COUNTS):
            assert model.get_input_embeddings() is table


def test_a_training_that_is_stopped_leaves_the_model_whole() -> None:
    model = classifier()
    table = model.get_input_embeddings()
    with pytest.raises(KeyboardInterrupt), seen_pieces(model, COUNTS):
        raise KeyboardInterrupt
    assert model.get_input_embeddings() is table
