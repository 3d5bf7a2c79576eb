"""Word embeddings are rounded to what ships, and stay so."""

import torch
from transformers import BertConfig, BertForSequenceClassification

from pipeline.export.four_bits import LARGEST
from pipeline.models.rounding import round_embeddings


def student(width: int) -> BertForSequenceClassification:
    return BertForSequenceClassification(
        BertConfig(vocab_size=50, hidden_size=width, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    )


def test_each_row_has_15_values_at_most_near_what_it_was_and_learns_nothing() -> None:
    model = student(64)
    before = model.bert.embeddings.word_embeddings.weight.detach().clone()
    assert round_embeddings(model)
    table = model.bert.embeddings.word_embeddings.weight
    assert not table.requires_grad
    assert model.bert.embeddings.position_embeddings.weight.requires_grad
    assert all(len(row.unique()) <= 2 * LARGEST + 1 for row in table)
    assert (table - before).square().mean() < 0.02 * before.square().mean()


def test_a_table_that_cannot_be_packed_stays_and_learns() -> None:
    model = student(7)
    before = model.bert.embeddings.word_embeddings.weight.detach().clone()
    assert not round_embeddings(model)
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, before)
    assert model.bert.embeddings.word_embeddings.weight.requires_grad
