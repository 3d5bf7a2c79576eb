"""A batch as one sequence gives what the padded batch gives."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedModel,
    RobertaConfig,
    RobertaForTokenClassification,
)

from pipeline.losses.tinybert import attention_loss
from pipeline.models.attention import ATTENTION, can_pack
from pipeline.models.collate import Batch, collate
from pipeline.models.loading import freeze, load_classifier, separate_head
from pipeline.models.trace import Trace, Wanted, forward, trace
from tests.tiny import write_model

SIZE: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 80,
    "pad_token_id": 0,
}
ALL_LAYERS = (0, 1, 2)
LENGTHS = (61, 60, 58, 57, 20, 19, 19, 18, 6, 5, 5, 4)  # two buckets
ONE_BUCKET = (40, 37, 30, 21)
PACKED = [
    (BertForSequenceClassification, BertConfig),
    (RobertaForTokenClassification, RobertaConfig),
    (ElectraForSequenceClassification, ElectraConfig),
    (DistilBertForSequenceClassification, DistilBertConfig),
]


def packed_batch(lengths: tuple[int, ...] = LENGTHS) -> Batch:
    rows = [np.random.default_rng(length).integers(5, 50, length) for length in lengths]
    segments = [np.arange(len(row)) // 10 % 2 for row in rows]
    return collate({"input_ids": rows, "token_type_ids": segments}, 0, packed=True)


def build(architecture: Any, config: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    shape = config(**SIZE, type_vocab_size=2, attention_dropout=0.0, attention_probs_dropout_prob=0.0)
    shape.hidden_dropout_prob = shape.dropout = 0.0
    shape._attn_implementation = ATTENTION
    return architecture(shape).eval()


def encoder(precision: str) -> PreTrainedModel:
    return freeze(cast(PreTrainedModel, build(*PACKED[0]).base_model), precision=precision)


def batch_for(model: PreTrainedModel, lengths: tuple[int, ...] = LENGTHS) -> Batch:
    batch = packed_batch(lengths)
    return replace(batch, token_type_ids=None) if model.config.model_type == "distilbert" else batch


def called_with(model: PreTrainedModel, batch: Batch) -> dict[str, Any]:
    """What a model is called with in a forward pass."""
    calls: list[dict[str, Any]] = []
    hook = model.register_forward_pre_hook(lambda _module, _arguments, named: calls.append(named), with_kwargs=True)
    forward(model, batch)
    hook.remove()
    (call,) = calls
    return call


def padded_output(model: Any, batch: Batch) -> Any:
    """What the bare model gives of the padded batch."""
    segments = {} if batch.token_type_ids is None else {"token_type_ids": batch.token_type_ids}
    return model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, **segments)


@pytest.fixture(params=PACKED, ids=lambda pair: pair[0].__name__)
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return build(*request.param)


@pytest.mark.parametrize(("lengths", "buckets"), [(LENGTHS, 2), (ONE_BUCKET, 1)])
def test_logits_are_those_of_the_padded_batch(model: PreTrainedModel, lengths: tuple[int, ...], buckets: int) -> None:
    batch = batch_for(model, lengths)
    assert batch.packing is not None and len(batch.packing.buckets) == buckets
    found, right = forward(model, batch).logits, padded_output(model, batch).logits
    if found.ndim == 3:
        found, right = (logits[batch.attention_mask.bool()] for logits in (found, right))
    torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lengths", [LENGTHS, ONE_BUCKET])
def test_gradients_are_those_of_the_padded_batch(model: PreTrainedModel, lengths: tuple[int, ...]) -> None:
    batch = batch_for(model, lengths)
    real = batch.attention_mask.bool()
    gradients = []
    for given in (batch, batch.padded()):
        model.zero_grad()
        logits = forward(model, given).logits
        (logits[real] if logits.ndim == 3 else logits).square().sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    for name, gradient in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("lengths", [LENGTHS, ONE_BUCKET])
def test_the_model_itself_sees_the_tokens_alone_in_one_row(model: PreTrainedModel, lengths: tuple[int, ...]) -> None:
    given = called_with(model, batch_for(model, lengths))
    assert given["packing"] is not None and "attention_mask" not in given
    fast = -(-sum(lengths) // 16) * 16  # a number that multiplies fast
    assert given["input_ids"].shape == given["position_ids"].shape == (1, fast)
    assert (given["input_ids"] > 0).sum() == sum(lengths)


def test_what_is_cut_into_buckets_is_put_together_again() -> None:
    packing, real = packed_batch().packing, packed_batch().attention_mask.bool()
    assert packing is not None
    states = torch.randn(1, len(packing.slots), 3)
    buckets = packing.split(states)
    assert [tuple(part.shape[:2]) for part in buckets] == list(packing.buckets)
    assert torch.equal(packing.join(buckets), states)
    assert torch.equal(packing.unpack(states)[real], states[packing.pack(real)])
    assert torch.equal(packing.first_tokens(states), packing.unpack(states)[:, :1])


def test_labels_and_the_like_are_not_given_to_the_model(model: PreTrainedModel) -> None:
    batch = batch_for(model)
    labelled = batch.with_targets(labels=torch.tensor([99]))
    torch.testing.assert_close(forward(model, labelled).logits, forward(model, batch).logits)


def test_the_model_is_left_as_it_was(model: PreTrainedModel) -> None:
    forward(model, batch_for(model))
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_model_with_another_attention_runs_padded_and_refuses_a_packed_batch(attention: str) -> None:
    model = build(*PACKED[0])
    expected = forward(model, packed_batch()).logits
    model.set_attn_implementation(attention)
    assert not can_pack(model)
    torch.testing.assert_close(forward(model, packed_batch().padded()).logits, expected, rtol=1e-4, atol=1e-5)
    for run in (forward, trace_nothing):
        with pytest.raises(
            TypeError, match=f"BertForSequenceClassification with {attention} attention takes no packed"
        ):
            run(model, packed_batch())


def trace_nothing(model: PreTrainedModel, batch: Batch) -> Trace:
    return trace(model, batch, Wanted())


def test_an_architecture_that_cannot_be_packed_runs_padded_and_refuses_a_packed_batch() -> None:
    modern = build(ModernBertForSequenceClassification, ModernBertConfig)
    batch = replace(packed_batch(), token_type_ids=None)
    assert not can_pack(modern)
    torch.testing.assert_close(forward(modern, batch.padded()).logits, padded_output(modern, batch).logits)
    with pytest.raises(TypeError, match=f"ModernBertForSequenceClassification with {ATTENTION} attention takes no"):
        forward(modern, batch)


@torch.no_grad()
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_packed_trace_has_the_padded_one_s_states_and_attention_losses(precision: str) -> None:
    teacher, student = (encoder(precision) for _ in range(2))
    for weight in student.parameters():
        weight.mul_(1.1)
    packed = packed_batch()
    real = packed.attention_mask.bool()
    tolerance: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5} if precision == "fp32" else {"rtol": 0.03, "atol": 0.05}
    wanted = Wanted(ALL_LAYERS, attention=True)
    ours, theirs = trace(student, packed, wanted), trace(teacher, packed, wanted)
    plain, plain_theirs = trace(student, packed.padded(), wanted), trace(teacher, packed.padded(), wanted)
    for layer in ALL_LAYERS:
        torch.testing.assert_close(ours.hidden_states[layer][ours.real], plain.hidden_states[layer][real], **tolerance)
    assert len(ours.attention[2]) == 2
    buckets = zip(ours.attention[2], theirs.attention[2], ours.buckets_real, strict=True)
    pairs = int(real.sum(dim=1).square().sum())
    found = sum(attention_loss(*bucket, pairs=pairs) for bucket in buckets)
    right = attention_loss(plain.attention[2][0], plain_theirs.attention[2][0], real)
    torch.testing.assert_close(found, right, rtol=0.05 if precision == "bf16" else 1e-4, atol=0)


@torch.no_grad()
def test_a_packed_trace_of_a_model_with_a_head_has_its_logits_and_its_last_states(model: PreTrainedModel) -> None:
    batch, wanted = batch_for(model), Wanted(ALL_LAYERS, output=True)
    real = batch.attention_mask.bool()
    found, right = (trace(model, given, wanted) for given in (batch, batch.padded()))
    where = real if found.output.logits.ndim == 3 else slice(None)
    torch.testing.assert_close(found.output.logits[where], right.output.logits[where])
    for layer in ALL_LAYERS:
        torch.testing.assert_close(found.hidden_states[layer][found.real], right.hidden_states[layer][real])


@pytest.mark.parametrize(
    ("architecture", "config"), [(BertForMaskedLM, BertConfig), (DistilBertForMaskedLM, DistilBertConfig)]
)
@torch.no_grad()
def test_masked_logits_of_a_packed_batch_are_those_of_the_padded_one(architecture: Any, config: Any) -> None:
    whole = build(architecture, config)
    plain = batch_for(whole)
    predicted_BT = plain.attention_mask.bool() & (plain.input_ids % 5 == 0)
    batch = plain.with_targets(predicted=predicted_BT, predicted_ids=plain.input_ids[predicted_BT])
    head = separate_head(whole)
    assert (head is not None) == (config is BertConfig)
    model = cast(PreTrainedModel, whole.base_model) if head else whole
    wanted = Wanted(predicted_logits=True)
    found, right = (trace(model, given, wanted, lm_head=head) for given in (batch, batch.padded()))
    assert found.packing is not None and right.packing is None
    assert found.predicted_logits is not None and len(found.predicted_logits) == batch.targets["predicted"].sum()
    torch.testing.assert_close(found.predicted_logits, right.predicted_logits, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_model_with_another_attention_is_not_packed(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    model = load_classifier(folder, label_names=("a", "b"), new_head=True, attention="sdpa").eval()
    batch = collate({"input_ids": [[5] * 40] * 4 + [[6] * 8] * 8}, 0, packed=can_pack(model))
    assert batch.packing is None
    assert torch.equal(forward(model, batch).logits, padded_output(model, batch).logits)
