"""A batch as one sequence gives what the padded batch gives."""

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

from pipeline.distill.layers import look
from pipeline.distill.objectives import Asked
from pipeline.losses.tinybert import attention_loss
from pipeline.models.attention import ATTENTION
from pipeline.models.collate import Inputs, model_inputs
from pipeline.models.loading import freeze, load_classifier, separate_head
from pipeline.models.packing import packed, run
from pipeline.models.trace import trace
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
LENGTHS = (61, 60, 58, 57, 20, 19, 19, 18, 6, 5, 5, 4)  # two buckets
ONE_BUCKET = (40, 37, 30, 21)
PACKED = [
    (BertForSequenceClassification, BertConfig),
    (RobertaForTokenClassification, RobertaConfig),
    (ElectraForSequenceClassification, ElectraConfig),
    (DistilBertForSequenceClassification, DistilBertConfig),
]


def batch(lengths: tuple[int, ...] = LENGTHS) -> Inputs:
    rows = [np.random.default_rng(length).integers(5, 50, length) for length in lengths]
    return model_inputs({"input_ids": rows, "token_type_ids": [np.arange(len(row)) // 10 % 2 for row in rows]}, 0)


def build(architecture: Any, config: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    shape = config(**SIZE, type_vocab_size=2, attention_dropout=0.0, attention_probs_dropout_prob=0.0)
    shape.hidden_dropout_prob = shape.dropout = 0.0
    shape._attn_implementation = ATTENTION
    return architecture(shape).eval()


def encoder(precision: str) -> PreTrainedModel:
    return freeze(cast(PreTrainedModel, build(*PACKED[0]).base_model), precision=precision)


def inputs_of(model: PreTrainedModel, lengths: tuple[int, ...] = LENGTHS, **changes: Any) -> Inputs:
    inputs = batch(lengths) | changes
    if model.config.model_type == "distilbert":
        del inputs["token_type_ids"]
    return inputs


def padded(inputs: Inputs) -> Inputs:
    return {name: value for name, value in inputs.items() if name != "buckets"}


@pytest.fixture(params=PACKED, ids=lambda pair: pair[0].__name__)
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return build(*request.param)


@pytest.mark.parametrize(("lengths", "buckets"), [(LENGTHS, 2), (ONE_BUCKET, 1)])
def test_logits_are_those_of_the_padded_batch(model: PreTrainedModel, lengths: tuple[int, ...], buckets: int) -> None:
    inputs = inputs_of(model, lengths)
    assert len(inputs["buckets"]) == buckets
    found, right = run(model, inputs).logits, model(**padded(inputs)).logits
    if found.ndim == 3:
        found, right = (logits[inputs["attention_mask"].bool()] for logits in (found, right))
    torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lengths", [LENGTHS, ONE_BUCKET])
def test_gradients_are_those_of_the_padded_batch(model: PreTrainedModel, lengths: tuple[int, ...]) -> None:
    inputs = inputs_of(model, lengths)
    real = inputs["attention_mask"].bool()
    gradients = []
    for one in (inputs, padded(inputs)):
        model.zero_grad()
        logits = run(model, one).logits
        (logits[real] if logits.ndim == 3 else logits).square().sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    for name, gradient in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("lengths", [LENGTHS, ONE_BUCKET])
def test_the_model_itself_sees_the_tokens_alone_in_one_row(model: PreTrainedModel, lengths: tuple[int, ...]) -> None:
    plain, packing = packed(model, inputs_of(model, lengths))
    assert packing is not None and "attention_mask" not in plain
    fast = -(-sum(lengths) // 16) * 16  # a number that multiplies fast
    assert plain["input_ids"].shape == plain["position_ids"].shape == (1, fast)
    assert (plain["input_ids"] > 0).sum() == sum(lengths)


def test_what_is_cut_into_buckets_is_put_together_again() -> None:
    packing, real = packed(build(*PACKED[0]), batch())[1], batch()["attention_mask"].bool()
    assert packing is not None
    states = torch.randn(1, len(packing.places), 3)
    buckets = packing.split(states)
    assert [tuple(part.shape[:2]) for part in buckets] == list(packing.buckets)
    assert torch.equal(packing.join(buckets), states)
    assert torch.equal(packing.padded(states)[real], states[packing.packed(real)])
    assert torch.equal(packing.first(states), packing.padded(states)[:, :1])


def test_labels_and_the_like_are_not_given_to_the_model(model: PreTrainedModel) -> None:
    torch.testing.assert_close(
        run(model, inputs_of(model, labels=torch.tensor([99]))).logits, run(model, inputs_of(model)).logits
    )


def test_the_model_is_left_as_it_was(model: PreTrainedModel) -> None:
    run(model, inputs_of(model))
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_model_with_another_attention_runs_padded(attention: str) -> None:
    model = build(*PACKED[0])
    expected = run(model, batch()).logits
    model.set_attn_implementation(attention)
    torch.testing.assert_close(run(model, batch()).logits, expected, rtol=1e-4, atol=1e-5)


def test_an_architecture_that_cannot_be_packed_runs_padded() -> None:
    modern = build(ModernBertForSequenceClassification, ModernBertConfig)
    inputs = {name: value for name, value in batch().items() if name != "token_type_ids"}
    assert packed(modern, inputs)[1] is None
    torch.testing.assert_close(run(modern, inputs).logits, modern(**padded(inputs)).logits)


@torch.no_grad()
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_packed_trace_has_the_padded_one_s_states_and_attention_losses(precision: str) -> None:
    teacher, student = (encoder(precision) for _ in range(2))
    for weight in student.parameters():
        weight.mul_(1.1)
    inputs = batch()
    real = inputs["attention_mask"].bool()
    tolerance: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5} if precision == "fp32" else {"rtol": 0.03, "atol": 0.05}
    ours, theirs = trace(student, inputs, range(3)), trace(teacher, inputs, range(3))
    plain, plain_theirs = trace(student, padded(inputs), range(3)), trace(teacher, padded(inputs), range(3))
    for layer in range(3):
        torch.testing.assert_close(ours.hidden_states[layer][ours.real], plain.hidden_states[layer][real], **tolerance)
    buckets = zip(ours.query_keys[2], theirs.query_keys[2], ours.buckets_real, strict=True)
    pairs = int(real.sum(dim=1).square().sum())
    found = sum(attention_loss(*bucket, pairs=pairs) for bucket in buckets)
    right = attention_loss(plain.query_keys[2][0], plain_theirs.query_keys[2][0], real)
    torch.testing.assert_close(found, right, rtol=0.05 if precision == "bf16" else 1e-4, atol=0)


@torch.no_grad()
def test_a_packed_trace_of_a_model_with_a_head_has_its_logits_and_its_last_states(model: PreTrainedModel) -> None:
    inputs = inputs_of(model)
    real = inputs["attention_mask"].bool()
    found, right = (trace(model, given, range(3), whole=True) for given in (inputs, padded(inputs)))
    where = real if found.output.logits.ndim == 3 else slice(None)
    torch.testing.assert_close(found.output.logits[where], right.output.logits[where])
    for layer in range(3):
        torch.testing.assert_close(found.hidden_states[layer][found.real], right.hidden_states[layer][real])


@pytest.mark.parametrize(
    ("architecture", "config"), [(BertForMaskedLM, BertConfig), (DistilBertForMaskedLM, DistilBertConfig)]
)
@torch.no_grad()
def test_masked_logits_of_a_packed_batch_are_those_of_the_padded_one(architecture: Any, config: Any) -> None:
    whole = build(architecture, config)
    inputs = inputs_of(whole)
    inputs["masked"] = inputs["attention_mask"].bool() & (inputs["input_ids"] % 5 == 0)
    head = separate_head(whole)
    assert (head is not None) == (config is BertConfig)
    model = cast(PreTrainedModel, whole.base_model) if head else whole
    found, right = (look(model, given, Asked(whole=True), head=head) for given in (inputs, padded(inputs)))
    assert found.packing is not None and right.packing is None
    assert found.masked_logits is not None and len(found.masked_logits) == inputs["masked"].sum()
    torch.testing.assert_close(found.masked_logits, right.masked_logits, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_model_with_another_attention_is_not_packed(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    model = load_classifier(folder, label_names=("a", "b"), new_head=True, attention="sdpa").eval()
    inputs = model_inputs({"input_ids": [[5] * 40] * 4 + [[6] * 8] * 8}, 0)
    assert len(inputs["buckets"]) > 1
    plain = {name: value for name, value in inputs.items() if name != "buckets"}
    assert torch.equal(run(model, inputs).logits, model(**plain).logits)
