"""Word embeddings are quantised as they ship, and learn as if they were not."""

import torch
from transformers import BertConfig, BertForSequenceClassification

from pipeline.export.four_bits import LARGEST
from pipeline.models.fake_quantisation import fake_quantise, fake_quantise_embeddings, fake_quantise_straight_through

RANDOM = torch.Generator().manual_seed(0)


def student(width: int) -> BertForSequenceClassification:
    return BertForSequenceClassification(
        BertConfig(vocab_size=50, hidden_size=width, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    )


def test_each_row_has_15_values_at_most_near_what_it_was() -> None:
    model = student(64)
    table = model.bert.embeddings.word_embeddings.weight
    before = table.detach().clone()
    assert fake_quantise_embeddings(model)
    assert all(len(row.unique()) <= 2 * LARGEST + 1 for row in table)
    assert (table - before).square().mean() < 0.02 * before.square().mean()
    torch.testing.assert_close(fake_quantise(table), table, rtol=1e-6, atol=0)


def test_a_table_that_cannot_be_packed_stays() -> None:
    model = student(7)
    before = model.bert.embeddings.word_embeddings.weight.detach().clone()
    assert not fake_quantise_embeddings(model)
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, before)


def test_rows_go_to_the_nearest_of_their_values_and_the_gradient_passes() -> None:
    rows = torch.randn((5, 3, 8), generator=RANDOM)
    rows[0, 0] = 0
    rows.requires_grad_()
    found = fake_quantise_straight_through(rows)
    for row, values in zip(rows.detach().reshape(-1, 8), found.detach().reshape(-1, 8), strict=True):
        step = row.abs().max() / LARGEST
        nearest = [min((step * number for number in range(-7, 8)), key=lambda value: abs(value - x)) for x in row]
        torch.testing.assert_close(values, torch.stack(nearest), rtol=1e-5, atol=1e-7)
    weights = torch.randn(found.shape, generator=RANDOM)
    (found * weights).sum().backward()
    torch.testing.assert_close(rows.grad, weights)
