"""One forward pass gives what distillation needs, and what the model itself computes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    MPNetConfig,
    MPNetModel,
    PreTrainedConfig,
    PreTrainedModel,
    RobertaConfig,
    RobertaModel,
)

from pipeline.losses.tinybert import AttentionStates
from pipeline.models.attention import ATTENTION
from pipeline.models.collate import Batch
from pipeline.models.loading import freeze
from pipeline.models.trace import Wanted, trace
from tests.helpers.encoders import load_encoder
from tests.tiny import write_model

LAYERS, HEADS = 3, 2
SIZE: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "hidden_dropout_prob": 0.5,
}
LENGTHS = torch.tensor([9, 4, 6])
REAL = torch.arange(9) < LENGTHS[:, None]
ALL_LAYERS = tuple(range(LAYERS + 1))
ALL_HIDDEN_STATES = Wanted(ALL_LAYERS)
ALL_ATTENTION = Wanted(ALL_LAYERS[1:], attention=True)


ARCHITECTURES = [
    (BertModel, BertConfig),
    (RobertaModel, RobertaConfig),
    (ElectraModel, ElectraConfig),
    (DistilBertModel, DistilBertConfig),
]
Build = Callable[[str], PreTrainedModel]


@pytest.fixture(params=ARCHITECTURES, ids=lambda architecture: architecture[0].__name__)
def build(request: pytest.FixtureRequest) -> Build:
    """A model with the attention of the given name."""
    model, config = request.param
    return lambda attention: model(with_attention(config(**SIZE), attention))


def with_attention(config: PreTrainedConfig, attention: str) -> Any:
    config._attn_implementation = attention
    return config


def bert(attention: str) -> PreTrainedModel:
    return BertModel(with_attention(BertConfig(**SIZE), attention), add_pooling_layer=False)


def padded_inputs() -> dict[str, Tensor]:
    ids = torch.randint(5, 50, REAL.shape, generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids.where(REAL, 1), "attention_mask": REAL.long()}


def padded_batch() -> Batch:
    inputs = padded_inputs()
    return Batch(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])


def traced_and_eager(build: Build) -> tuple[PreTrainedModel, PreTrainedModel]:
    torch.manual_seed(0)
    ours, eager = build(ATTENTION).eval(), build("eager").eval()
    eager.load_state_dict(ours.state_dict())
    return ours, eager


@torch.no_grad()
def test_hidden_states_are_those_of_the_eager_model_on_padded_input(build: Build) -> None:
    ours, eager = traced_and_eager(build)
    found = trace(ours, padded_batch(), ALL_HIDDEN_STATES).hidden_states
    right = eager(**padded_inputs(), output_hidden_states=True).hidden_states
    for layer in ALL_LAYERS:
        torch.testing.assert_close(found[layer][REAL], right[layer][REAL], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_queries_and_keys_give_the_eager_model_s_attention(build: Build) -> None:
    ours, eager = traced_and_eager(build)
    found = trace(ours, padded_batch(), ALL_ATTENTION).attention
    right = eager(**padded_inputs(), output_attentions=True).attentions
    for layer, ((query, key, _),) in found.items():
        assert query.shape == key.shape == (3, HEADS, 9, 8)
        scores = query @ key.transpose(-1, -2) / 8**0.5
        maps = scores.masked_fill(~REAL[:, None, None, :], -torch.inf).softmax(dim=-1)
        torch.testing.assert_close(maps, right[layer - 1], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_what_stands_in_the_padding_changes_no_real_token(build: Build) -> None:
    model, _ = traced_and_eager(build)
    batch = padded_batch()
    other = replace(batch, input_ids=batch.input_ids.where(REAL, 7))
    for layer, state in trace(model, batch, ALL_HIDDEN_STATES).hidden_states.items():
        torch.testing.assert_close(trace(model, other, ALL_HIDDEN_STATES).hidden_states[layer][REAL], state[REAL])


@torch.no_grad()
def test_a_batch_without_padding_needs_no_mask(build: Build) -> None:
    model, _ = traced_and_eager(build)
    ids = torch.randint(5, 50, REAL.shape)
    batch = Batch(input_ids=ids, attention_mask=torch.ones_like(ids))
    with_mask, without = (trace(model, one, ALL_HIDDEN_STATES) for one in (batch, replace(batch, full=True)))
    for layer, state in without.hidden_states.items():
        assert torch.equal(state, with_mask.hidden_states[layer])


def test_only_the_layers_asked_for_are_kept() -> None:
    found = trace(bert(ATTENTION), padded_batch(), Wanted((0, 2), attention=True))
    assert (set(found.hidden_states), set(found.attention)) == ({0, 2}, {2})


@torch.no_grad()
def test_queries_keys_and_values_give_what_the_model_attends_to(build: Build) -> None:
    ours, _ = traced_and_eager(build)
    found = trace(ours, padded_batch(), ALL_ATTENTION)
    assert set(found.attention) == set(ALL_LAYERS[1:])
    for layer, ((query, key, value),) in found.attention.items():
        right = scaled_dot_product_attention(query, key, value, attn_mask=REAL[:, None, None, :])
        given = given_to(output_layer(ours, layer), lambda: trace(ours, padded_batch(), ALL_ATTENTION))
        torch.testing.assert_close(given[REAL], right.transpose(1, 2).flatten(2)[REAL], rtol=1e-4, atol=1e-5)


def given_to(module: torch.nn.Module, run: Callable[[], Any]) -> Tensor:
    """What a module reads while something runs."""
    read: list[Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, arguments: read.append(arguments[0]))
    run()
    hook.remove()
    return read[0]


def output_layer(model: PreTrainedModel, layer: int) -> torch.nn.Module:
    """The linear layer that reads what attention gives."""
    names = ("encoder.layer.{}.attention.output.dense", "transformer.layer.{}.attention.out_lin")
    modules = dict(model.named_modules())
    return next(modules[path] for name in names if (path := name.format(layer - 1)) in modules)


@pytest.mark.parametrize("attention", ["sdpa", ATTENTION])
def test_without_attention_asked_for_none_is_handed_out(attention: str) -> None:
    found = trace(bert(attention), padded_batch(), Wanted((0, 2)))
    assert (set(found.hidden_states), found.attention) == ({0, 2}, {})


def test_gradients_flow_through_queries_and_keys() -> None:
    model = bert(ATTENTION)
    ((query, key, _),) = trace(model, padded_batch(), Wanted((1,), attention=True)).attention[1]
    (query.sum() + key.sum()).backward()
    for name in ("query", "key"):
        weight = model.get_parameter(f"encoder.layer.0.attention.self.{name}.weight")
        assert weight.grad is not None and weight.grad.norm() > 0


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_model_whose_attention_is_not_ours_raises(attention: str) -> None:
    with pytest.raises(TypeError, match="BertModel does not hand out its queries and keys"):
        trace(bert(attention), padded_batch(), Wanted((1,), attention=True))


def test_an_architecture_without_the_attention_interface_raises() -> None:
    with pytest.raises(TypeError, match="MPNetModel does not hand out its queries and keys"):
        trace(MPNetModel(MPNetConfig(**SIZE)), padded_batch(), Wanted((1,), attention=True))


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_frozen_teacher_has_no_dropout_and_no_gradients(precision: str, dtype: torch.dtype) -> None:
    teacher = freeze(bert(ATTENTION).train(), precision=precision)
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert {parameter.dtype for parameter in teacher.parameters()} == {dtype}
    first, second = (trace(teacher, padded_batch(), Wanted((LAYERS,))) for _ in range(2))
    assert torch.equal(first.hidden_states[LAYERS], second.hidden_states[LAYERS])
    assert first.hidden_states[LAYERS].dtype == dtype


def test_a_loaded_encoder_hands_out_queries_and_keys(tmp_path: Path) -> None:
    encoder = load_encoder(write_model(tmp_path))
    batch = replace(padded_batch(), input_ids=torch.ones(3, 9).long())
    found = trace(encoder, batch, Wanted((2,), attention=True))
    assert isinstance(found.attention[2][0], AttentionStates)
