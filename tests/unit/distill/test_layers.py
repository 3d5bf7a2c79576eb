"""The student beside its teacher, layer by layer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.config.distillation import DistillGeneral
from pipeline.config.student import Student
from pipeline.distill.layers import ProjectedStudent, Teacher, both_pack, layer_loss
from pipeline.distill.objectives import OBJECTIVES
from pipeline.losses.related_methods import relation_loss
from pipeline.losses.tinybert import attention_loss, hidden_loss
from pipeline.models.collate import Batch, collate
from pipeline.models.loading import load_language_model
from pipeline.models.new_student import new_student
from pipeline.models.trace import Wanted, trace
from pipeline.training.batches import BatchPlan, GlobalBatch
from pipeline.training.loop import Job, freeze_unreached
from tests.helpers.one_process import make_stage
from tests.tiny import write_model

LENGTHS = np.array([9, 4, 6])
PARTS = (slice(0, 1), slice(1, 3))
TEACHER_LAYERS = {0: 0, 1: 2, 2: 4}  # of each of the student's


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    model = load_language_model(write_model(tmp_path_factory.mktemp("teacher"), layers=4))
    return Teacher.of(model, make_stage(tmp_path_factory.mktemp("stage")))


def student(teacher: Teacher, *, seed: int = 0, width: int = 16, heads: int = 2) -> ProjectedStudent:
    torch.manual_seed(seed)
    size = Student(layers=2, width=width, feed_forward=20, heads=heads, hidden_dropout=0)
    return ProjectedStudent(new_student(size, teacher.encoder), teacher_width=24)


def global_batch() -> GlobalBatch:
    return BatchPlan(LENGTHS, batch_size=3, epochs=1, micro_batch_tokens=100, seed=0).at(0)


def batch(rows: slice = slice(3)) -> Batch:
    ids = [np.random.default_rng(n).integers(5, 40, length) for n, length in enumerate(LENGTHS)]
    return collate({"input_ids": ids[rows]}, 0, packed=True)


def test_the_terms_are_the_weighted_losses_of_the_mapped_layers(teacher: Teacher) -> None:
    ours = student(teacher)
    weights = DistillGeneral(embedding=2, hidden=3, attention=5)
    terms = layer_loss(teacher, TEACHER_LAYERS, weights)(ours, batch(), global_batch())
    padded = batch().padded()
    theirs = trace(teacher.encoder, padded, Wanted((0, 1, 2, 3, 4), attention=True))
    own = trace(ours.model, padded, Wanted((0, 1, 2), attention=True))
    real = padded.attention_mask.bool()
    right = {}
    for layer, source in TEACHER_LAYERS.items():
        projected = ours.projections[layer](own.hidden_states[layer])
        gap = hidden_loss(projected, theirs.hidden_states[source], real)
        right["embedding" if layer == 0 else f"hidden_{layer}"] = (3 if layer else 2) * gap
        if layer:
            right[f"attention_{layer}"] = 5 * attention_loss(own.attention[layer][0], theirs.attention[source][0], real)
    assert terms.keys() == right.keys()
    for name, term in terms.items():
        torch.testing.assert_close(term, right[name], rtol=1e-5, atol=0)


def test_terms_of_micro_batches_add_up(teacher: Teacher) -> None:
    ours, loss = student(teacher), layer_loss(teacher, TEACHER_LAYERS, DistillGeneral())
    whole = loss(ours, batch(), global_batch())
    parts = [loss(ours, batch(rows), global_batch()) for rows in PARTS]
    for name, term in whole.items():
        torch.testing.assert_close(parts[0][name] + parts[1][name], term, rtol=1e-5, atol=1e-7)


def test_the_teacher_reads_a_batch_once_that_comes_again(teacher: Teacher, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, passes, read = student(teacher), [], Teacher.trace
    monkeypatch.setattr(Teacher, "trace", lambda self, *a: passes.append(a[0].key) or read(self, *a))
    loss = layer_loss(teacher, TEACHER_LAYERS, DistillGeneral())
    given = [replace(batch(rows), key=(0, bytes([part]))) for part, rows in enumerate(PARTS)]
    right = [loss(ours, each, global_batch()) for each in given]
    assert passes == [each.key for each in given]
    for comes_again in (True, True, False):
        for each, terms in zip(given, right, strict=True):
            found = loss(ours, replace(each, comes_again=comes_again), global_batch())
            assert all(torch.equal(term, terms[name]) for name, term in found.items())
    assert passes == [each.key for each in given] * 2
    loss(ours, given[0], global_batch())  # forgotten, since it was not to come again
    assert len(passes) == 5


def test_without_the_attention_loss_the_head_counts_may_differ(teacher: Teacher) -> None:
    ours = student(teacher, width=24, heads=3)
    terms = layer_loss(teacher, TEACHER_LAYERS, DistillGeneral(attention=0))(ours, batch(), global_batch())
    assert terms.keys() == {"embedding", "hidden_1", "hidden_2"}


def only(**settings: Any) -> DistillGeneral:
    """Settings in which no other objective has a weight."""
    every: dict[str, Any] = dict.fromkeys(OBJECTIVES, 0.0)
    return DistillGeneral(**every | settings)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_alone_gives_its_terms_and_a_gradient(teacher: Teacher, name: str) -> None:
    ours = student(teacher)
    found = layer_loss(teacher, TEACHER_LAYERS, only(**{name: 2.0}))(ours, batch(), global_batch())
    assert set(found) == ({"embedding"} if name == "embedding" else {f"{name}_1", f"{name}_2"})
    torch.stack(list(found.values())).sum().backward()
    assert any(p.grad is not None and p.grad.norm() > 0 for p in ours.model.parameters())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_packed_batch_has_the_terms_and_gradients_of_a_padded_one(teacher: Teacher, name: str) -> None:
    lengths = np.array([61, 60, 58, 57, 4, 4, 3, 3])
    rows = [np.random.default_rng(length).integers(5, 40, length) for length in lengths]
    packed = collate({"input_ids": rows}, 0, packed=both_pack(teacher, student(teacher)))
    ours, loss = student(teacher), layer_loss(teacher, TEACHER_LAYERS, only(**{name: 2.0}))
    whole = BatchPlan(lengths, batch_size=8, epochs=1, micro_batch_tokens=1000, seed=0).at(0)
    found = []
    for given in (packed, packed.padded()):
        ours.zero_grad()
        terms = loss(ours, given, whole)
        torch.stack(list(terms.values())).sum().backward()
        found.append(terms | {key: p.grad for key, p in ours.named_parameters() if p.grad is not None})
    assert packed.packing is not None and len(packed.packing.buckets) > 1
    for key, value in found[1].items():
        torch.testing.assert_close(found[0][key], value, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("heads", [0, 1, 4])
def test_relations_compare_a_student_with_another_number_of_heads(teacher: Teacher, heads: int) -> None:
    ours = student(teacher, width=24, heads=3)
    relations: dict[str, Any] = dict.fromkeys(("query_relations", "key_relations", "value_relations"), 1.0)
    weights = only(**relations, layer_map="last", relation_heads=heads)
    found = layer_loss(teacher, {0: 0, 2: 4}, weights)(ours, batch(), global_batch())
    (theirs,) = trace(teacher.encoder, batch(), Wanted((4,), attention=True)).attention[4]
    (own,) = trace(ours.model, batch(), Wanted((2,), attention=True)).attention[2]
    right = relation_loss(own.value, theirs.value, batch().attention_mask.bool(), heads=heads or 2)
    torch.testing.assert_close(found["value_relations_2"], right)
    assert set(found) == {f"{name}_2" for name in relations}


def test_what_no_objective_reaches_is_not_trained(teacher: Teacher, tmp_path: Path) -> None:
    ours = student(teacher)
    settings = only(value_relations=1.0, layer_map="last")
    job = Job(
        model=ours,
        batches=BatchPlan(LENGTHS, batch_size=3, epochs=1, micro_batch_tokens=100, seed=0),
        collate=lambda rows, epoch: batch(),
        loss=layer_loss(teacher, {0: 0, 2: 4}, settings),
        settings=settings,
    )
    freeze_unreached(job, make_stage(tmp_path))
    trained = {name for name, parameter in ours.named_parameters() if parameter.requires_grad}
    assert "model.encoder.layer.1.attention.self.value.weight" in trained
    assert not {name for name in trained if "projections" in name or "layer.1.output" in name or "query" in name} - {
        "model.encoder.layer.0.attention.self.query.weight",
        "model.encoder.layer.0.attention.self.query.bias",
    }


def test_every_trained_weight_gets_a_gradient_and_the_teacher_none(teacher: Teacher) -> None:
    ours = student(teacher)
    terms = layer_loss(teacher, TEACHER_LAYERS, DistillGeneral())(ours, batch(), global_batch())
    torch.stack(list(terms.values())).sum().backward()
    assert [name for name, parameter in ours.named_parameters() if parameter.grad is None] == []
    assert all(parameter.grad is None for parameter in teacher.encoder.parameters())


def test_projections_are_one_a_layer_also_at_equal_width(teacher: Teacher) -> None:
    assert len({id(linear.weight) for linear in student(teacher, width=24).projections}) == 3


def test_projections_outlive_the_stage(teacher: Teacher, tmp_path: Path) -> None:
    ours, other = student(teacher, seed=1), student(teacher, seed=2)
    ours.save_projections(tmp_path)
    other.load_projections(tmp_path)
    for left, right in zip(ours.projections.parameters(), other.projections.parameters(), strict=True):
        assert torch.equal(left, right)
