"""Decoders in one forward pass: each token attends to itself and what is before it, in whatever way is fastest."""

from typing import Any, cast

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.models.collate import Batch
from pipeline.models.trace import Wanted, forward, trace
from tests.helpers.decoders import DECODERS, SIZE, decoder

LAYERS, HEADS = SIZE["num_hidden_layers"], SIZE["num_attention_heads"]
LENGTHS = torch.tensor([12, 5, 8])
REAL = torch.arange(12) < LENGTHS[:, None]
ALL = Wanted(tuple(range(LAYERS + 1)), attention=True)


def batch(padding: int = 1) -> Batch:
    ids = torch.randint(5, 300, REAL.shape, generator=torch.Generator().manual_seed(0))
    return Batch(input_ids=ids.where(REAL, padding), attention_mask=REAL.long())


def trunk(model: PreTrainedModel) -> Any:
    return cast(PreTrainedModel, model.base_model)


def eager_outputs(kind: str) -> Any:
    given = batch()
    inputs = {"input_ids": given.input_ids, "attention_mask": given.attention_mask}
    return trunk(decoder(kind, "eager"))(**inputs, output_hidden_states=True, output_attentions=True)


@torch.no_grad()
@pytest.mark.parametrize("kind", DECODERS)
def test_hidden_states_are_those_of_the_eager_model_on_padded_input(kind: str) -> None:
    found, right = trace(trunk(decoder(kind)), batch(), ALL), eager_outputs(kind)
    assert found.causal
    for layer, state in found.hidden_states.items():
        torch.testing.assert_close(state[REAL], right.hidden_states[layer][REAL], rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("kind", DECODERS)
def test_queries_and_keys_give_the_eager_model_s_attention_one_key_for_each_query_head(kind: str) -> None:
    found, right = trace(trunk(decoder(kind)), batch(), ALL), eager_outputs(kind)
    before = REAL[:, None, None, :] & torch.ones(12, 12).bool().tril()
    for layer, ((query, key, value),) in found.attention.items():
        assert query.shape == key.shape == value.shape == (3, HEADS, 12, 4)
        maps = (query @ key.transpose(-1, -2) / 2).masked_fill(~before, -torch.inf).softmax(dim=-1)
        for row, length in enumerate(LENGTHS.tolist()):
            ours, theirs = maps[row, :, :length], right.attentions[layer - 1][row, :, :length]
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kind", DECODERS)
def test_neither_padding_nor_later_tokens_change_a_token(kind: str) -> None:
    model = decoder(kind)
    first, other = (trace(trunk(model), batch(padding), ALL).hidden_states for padding in (1, 7))
    later = batch().input_ids.clone()
    later[:, 3:] = 9
    shorter = trace(trunk(model), Batch(input_ids=later, attention_mask=REAL.long()), ALL).hidden_states
    for layer, state in first.items():
        torch.testing.assert_close(other[layer][REAL], state[REAL])
        torch.testing.assert_close(shorter[layer][:, :3], state[:, :3])


@torch.no_grad()
@pytest.mark.parametrize("kind", DECODERS)
def test_in_bf16_no_later_token_changes_one_before_it_either(kind: str) -> None:
    model, given = decoder(kind), batch()
    later = given.input_ids.clone()
    later[:, 4:] = 9

    def states(ids: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return forward(trunk(model), Batch(input_ids=ids, attention_mask=REAL.long())).last_hidden_state

    exact = forward(trunk(model), given).last_hidden_state
    assert torch.equal(states(given.input_ids)[:, :4], states(later)[:, :4])
    near = torch.nn.functional.cosine_similarity(states(given.input_ids)[REAL].float(), exact[REAL], dim=-1)
    assert near.min() > 0.99


@pytest.mark.parametrize("kind", DECODERS)
def test_gradients_flow_through_queries_and_grouped_keys(kind: str) -> None:
    model = decoder(kind)
    ((query, key, _),) = trace(trunk(model), batch(), Wanted((1,), attention=True)).attention[1]
    (query.square().sum() + key.square().sum()).backward()
    name = "h.0.attn.c_attn.weight" if kind == "gpt2" else "layers.0.self_attn.k_proj.weight"
    gradient = trunk(model).get_parameter(name).grad
    assert gradient is not None and gradient.norm() > 0
