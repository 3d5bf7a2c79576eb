"""The student beside its teacher, layer by layer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from pipeline.config.training import DistillGeneral, Student
from pipeline.distill.layers import Distilled, freeze_unreached, layer_terms
from pipeline.distill.objectives import OBJECTIVES
from pipeline.losses.related_methods import relation_loss
from pipeline.losses.tinybert import attention_loss, hidden_loss
from pipeline.models.collate import Inputs, model_inputs
from pipeline.models.loading import freeze, load_encoder, new_student
from pipeline.models.trace import trace
from pipeline.training.batches import BatchPlan, GlobalBatch
from pipeline.training.loop import Job
from tests.helpers.one_process import make_stage
from tests.tiny import write_model

LENGTHS = np.array([9, 4, 6])
TEACHER_LAYERS = {0: 0, 1: 2, 2: 4}  # of each of the student's


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    return freeze(load_encoder(write_model(tmp_path_factory.mktemp("teacher"), layers=4)), precision="fp32")


def student(teacher: PreTrainedModel, *, seed: int = 0, width: int = 16) -> Distilled:
    torch.manual_seed(seed)
    size = Student(layers=2, width=width, feed_forward=20, heads=2, hidden_dropout=0)
    encoder = new_student(size, teacher)
    return Distilled(encoder, student_width=width, teacher_width=24, layers=2)


def batch() -> GlobalBatch:
    return BatchPlan(LENGTHS, batch_size=3, epochs=1, micro_batch_tokens=100, seed=0).at(0)


def inputs(rows: slice = slice(3)) -> Inputs:
    ids = [np.random.default_rng(n).integers(5, 40, length) for n, length in enumerate(LENGTHS)]
    return model_inputs({"input_ids": ids[rows]}, 0)


def test_the_terms_are_the_weighted_losses_of_the_mapped_layers(teacher: PreTrainedModel) -> None:
    ours = student(teacher)
    weights = DistillGeneral(embedding=2, hidden=3, attention=5)
    terms = layer_terms(teacher, TEACHER_LAYERS, weights)(ours, inputs(), batch())
    padded = {name: value for name, value in inputs().items() if name != "buckets"}
    theirs, own = trace(teacher, padded, range(5)), trace(ours.encoder, padded, range(3))
    real = padded["attention_mask"].bool()
    right = {}
    for layer, source in TEACHER_LAYERS.items():
        projected = ours.projections[layer](own.hidden_states[layer])
        gap = hidden_loss(projected, theirs.hidden_states[source], real)
        right["embedding" if layer == 0 else f"hidden_{layer}"] = (3 if layer else 2) * gap
        if layer:
            right[f"attention_{layer}"] = 5 * attention_loss(
                own.query_keys[layer][0], theirs.query_keys[source][0], real
            )
    assert terms.keys() == right.keys()
    for name, term in terms.items():
        torch.testing.assert_close(term, right[name], rtol=1e-5, atol=0)


def test_terms_of_micro_batches_add_up(teacher: PreTrainedModel) -> None:
    ours, loss = student(teacher), layer_terms(teacher, TEACHER_LAYERS, DistillGeneral())
    whole = loss(ours, inputs(), batch())
    parts = [loss(ours, inputs(rows), batch()) for rows in (slice(0, 1), slice(1, 3))]
    for name, term in whole.items():
        torch.testing.assert_close(parts[0][name] + parts[1][name], term, rtol=1e-5, atol=1e-7)


def test_without_the_attention_loss_the_head_counts_may_differ(teacher: PreTrainedModel) -> None:
    encoder = new_student(Student(layers=2, width=24, feed_forward=20, heads=3), teacher)
    ours = Distilled(encoder, student_width=24, teacher_width=24, layers=2)
    terms = layer_terms(teacher, TEACHER_LAYERS, DistillGeneral(attention=0))(ours, inputs(), batch())
    assert terms.keys() == {"embedding", "hidden_1", "hidden_2"}


def only(**settings: Any) -> DistillGeneral:
    """Settings in which no other objective has a weight."""
    every: dict[str, Any] = dict.fromkeys(OBJECTIVES, 0.0)
    return DistillGeneral(**every | settings)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_alone_gives_its_terms_and_a_gradient(teacher: PreTrainedModel, name: str) -> None:
    ours = student(teacher)
    found = layer_terms(teacher, TEACHER_LAYERS, only(**{name: 2.0}))(ours, inputs(), batch())
    assert set(found) == ({"embedding"} if name == "embedding" else {f"{name}_1", f"{name}_2"})
    torch.stack(list(found.values())).sum().backward()
    assert any(p.grad is not None and p.grad.norm() > 0 for p in ours.encoder.parameters())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_packed_batch_has_the_terms_and_gradients_of_a_padded_one(teacher: PreTrainedModel, name: str) -> None:
    lengths = np.array([61, 60, 58, 57, 4, 4, 3, 3])
    rows = [np.random.default_rng(length).integers(5, 40, length) for length in lengths]
    packed = model_inputs({"input_ids": rows}, 0)
    ours, loss = student(teacher), layer_terms(teacher, TEACHER_LAYERS, only(**{name: 2.0}))
    whole = BatchPlan(lengths, batch_size=8, epochs=1, micro_batch_tokens=1000, seed=0).at(0)
    found = []
    for one in (packed, {key: value for key, value in packed.items() if key != "buckets"}):
        ours.zero_grad()
        terms = loss(ours, one, whole)
        torch.stack(list(terms.values())).sum().backward()
        found.append(terms | {key: p.grad for key, p in ours.named_parameters() if p.grad is not None})
    assert len(packed["buckets"]) > 1
    for key, value in found[1].items():
        torch.testing.assert_close(found[0][key], value, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("heads", [0, 1, 4])
def test_relations_compare_a_student_with_another_number_of_heads(teacher: PreTrainedModel, heads: int) -> None:
    encoder = new_student(Student(layers=2, width=24, feed_forward=20, heads=3, hidden_dropout=0), teacher)
    ours = Distilled(encoder, student_width=24, teacher_width=24, layers=2)
    relations: dict[str, Any] = dict.fromkeys(("query_relations", "key_relations", "value_relations"), 1.0)
    weights = only(**relations, layer_map="last", relation_heads=heads)
    found = layer_terms(teacher, {0: 0, 2: 4}, weights)(ours, inputs(), batch())
    seen, own = trace(teacher, inputs(), (4,), values=True), trace(ours.encoder, inputs(), (2,), values=True)
    right = relation_loss(own.values[2][0], seen.values[4][0], inputs()["attention_mask"].bool(), heads=heads or 2)
    torch.testing.assert_close(found["value_relations_2"], right)
    assert set(found) == {f"{name}_2" for name in relations}


def test_what_no_objective_reaches_is_not_trained(teacher: PreTrainedModel, tmp_path: Path) -> None:
    ours = student(teacher)
    settings = only(value_relations=1.0, layer_map="last")
    job = Job(
        model=ours,
        batches=BatchPlan(LENGTHS, batch_size=3, epochs=1, micro_batch_tokens=100, seed=0),
        collate=lambda rows, epoch: inputs(),
        loss=layer_terms(teacher, {0: 0, 2: 4}, settings),
        settings=settings,
    )
    freeze_unreached(job, make_stage(tmp_path))
    trained = {name for name, parameter in ours.named_parameters() if parameter.requires_grad}
    assert "encoder.encoder.layer.1.attention.self.value.weight" in trained
    assert not {name for name in trained if "projections" in name or "layer.1.output" in name or "query" in name} - {
        "encoder.encoder.layer.0.attention.self.query.weight",
        "encoder.encoder.layer.0.attention.self.query.bias",
    }


def test_every_trained_weight_gets_a_gradient_and_the_teacher_none(teacher: PreTrainedModel) -> None:
    ours = student(teacher)
    terms = layer_terms(teacher, TEACHER_LAYERS, DistillGeneral())(ours, inputs(), batch())
    torch.stack(list(terms.values())).sum().backward()
    assert [name for name, parameter in ours.named_parameters() if parameter.grad is None] == []
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_projections_are_one_a_layer_also_at_equal_width(teacher: PreTrainedModel) -> None:
    assert len({id(linear.weight) for linear in student(teacher, width=24).projections}) == 3


def test_projections_outlive_the_stage(teacher: PreTrainedModel, tmp_path: Path) -> None:
    ours, other = student(teacher, seed=1), student(teacher, seed=2)
    ours.save_projections(tmp_path)
    other.load_projections(tmp_path)
    for left, right in zip(ours.projections.parameters(), other.projections.parameters(), strict=True):
        assert torch.equal(left, right)
