"""A fitted student starts near to its teacher: the nearer, the larger it is."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from pipeline.config.student import Student
from pipeline.losses.tinybert import attention_loss, hidden_loss
from pipeline.models.attention import ATTENTION
from pipeline.models.fit_sample import FitSample
from pipeline.models.fitted_start import FittedStart, shared_heads
from pipeline.models.new_student import new_student
from pipeline.models.trace import Wanted, trace
from tests.helpers.encoders import LIKE_BERT

WHOLE = Student(layers=4, width=24, feed_forward=40, heads=3)


def make_teacher(kind: str = "bert") -> Any:
    """A teacher whose layers do something: weights far from zero, layer norms of any gain."""
    model, config = copy.deepcopy(LIKE_BERT[kind])
    config._attn_implementation = ATTENTION
    torch.manual_seed(0)
    teacher = model(config).eval()
    for name, parameter in teacher.named_parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.3 if "LayerNorm" in name or "norm" in name else 0.15)
    return teacher


def sample(texts: int = 120, *, longest: int = 20, seed: int = 0) -> FitSample:
    source = np.random.default_rng(seed)
    rows = [source.integers(5, 50, source.integers(3, longest)) for _ in range(texts)]
    lengths = np.array([len(row) for row in rows])
    return FitSample(
        lambda numbers: {"input_ids": [rows[number] for number in numbers]}, np.arange(texts), lengths, pad_id=1
    )


def fit(teacher: Any, sizes: Student, *, texts: FitSample | None = None, layers: Sequence[int] = ()) -> tuple[Any, Any]:
    """A fitted student and its projections. Args: layers: the teacher's, one for each of the student's."""
    torch.manual_seed(1)
    student: Any = new_student(sizes, teacher).eval()
    sources = layers or [number * 4 // sizes.layers for number in range(1, sizes.layers + 1)]
    mapped = {0: 0} | dict(enumerate(sources, start=1))
    return student, FittedStart(student, teacher, texts or sample(), mapped).run()


@torch.no_grad()
def losses(student: PreTrainedModel, teacher: PreTrainedModel, projections: dict[int, Any], *, heads: bool) -> Any:
    """The layer losses on other texts: hidden by layer, and where heads pair up attention by layer."""
    M, N = student.config.num_hidden_layers, teacher.config.num_hidden_layers
    hidden, attention = np.zeros(M + 1), np.zeros(M)
    batches = sample(60, seed=9).batches
    for batch in batches:
        real = batch.attention_mask.bool()
        models = ((student, M), (teacher, N))
        ours, theirs = (trace(model, batch, Wanted(tuple(range(count + 1)), True)) for model, count in models)
        for own in range(M + 1):
            projected = ours.hidden_states[own] @ projections[own].T
            hidden[own] += float(hidden_loss(projected, theirs.hidden_states[own * N // M], real)) / len(batches)
            if own and heads:
                pair = (ours.attention[own][0], theirs.attention[own * N // M][0])
                attention[own - 1] += float(attention_loss(*pair, real)) / len(batches)
    return np.concatenate([hidden, attention])


@pytest.mark.parametrize("kind", LIKE_BERT)
def test_a_student_of_the_teacher_s_sizes_starts_as_the_teacher(kind: str) -> None:
    teacher = make_teacher(kind)
    student, projections = fit(teacher, WHOLE)
    assert losses(student, teacher, projections, heads=True).max() < 1e-5


@pytest.mark.parametrize(
    "sizes",
    [
        [{"width": 12, "heads": 3}, {"width": 18, "heads": 3}, {"width": 24, "heads": 3}],
        [{"feed_forward": 5}, {"feed_forward": 20}, {"feed_forward": 40}],
        [{"layers": 1}, {"layers": 2}, {"layers": 4}],
        [{"heads": 12}, {"heads": 6}, {"heads": 3}],
    ],
    ids=["width", "feed-forward", "depth", "head width"],
)
def test_a_larger_student_starts_nearer(sizes: list[dict[str, Any]]) -> None:
    teacher = make_teacher()
    found = []
    for size in sizes:
        student, projections = fit(teacher, replace(WHOLE, **size))
        all_losses = losses(student, teacher, projections, heads=False)
        found.append(all_losses[student.config.num_hidden_layers])  # of the last layer's states
    assert found[0] > found[1] > found[2]
    assert found[2] < 1e-5


def test_a_fitted_start_beats_a_random_one_by_far() -> None:
    teacher = make_teacher()
    fitted, projections = fit(teacher, Student(layers=2, width=12, feed_forward=20, heads=3))
    torch.manual_seed(2)
    random = new_student(Student(layers=2, width=12, feed_forward=20, heads=3), teacher).eval()
    ours, theirs = (losses(student, teacher, projections, heads=True) for student in (fitted, random))
    assert (ours < theirs / 2).all()


@pytest.mark.parametrize("heads", [1, 2, 4, 6, 12])
def test_any_number_of_heads_can_be_fitted(heads: int) -> None:
    teacher = make_teacher()
    student, projections = fit(teacher, Student(layers=4, width=24, feed_forward=40, heads=heads))
    last = losses(student, teacher, projections, heads=False)[4]
    torch.manual_seed(2)
    random = new_student(Student(layers=4, width=24, feed_forward=40, heads=heads), teacher).eval()
    assert last < 0.7 * losses(random, teacher, projections, heads=False)[4]


def test_heads_are_shared_out_in_order() -> None:
    assert list(shared_heads(2, 4)) == [([0, 1], 0), ([2, 3], 0)]
    assert list(shared_heads(4, 2)) == [([0], 0), ([0], 1), ([1], 0), ([1], 1)]
    assert list(shared_heads(2, 3)) == [([0, 1], 0), ([2], 0)]
    assert list(shared_heads(3, 3)) == [([0], 0), ([1], 0), ([2], 0)]


def test_twice_as_many_heads_of_half_the_width_carry_all_that_the_teacher_s_values_carry() -> None:
    teacher = make_teacher()
    teacher.config.num_hidden_layers = 1
    del teacher.encoder.layer[1:]
    student, _ = fit(teacher, Student(layers=1, width=24, feed_forward=40, heads=6), layers=[1])
    for layer in (teacher.encoder.layer[0], student.encoder.layer[0]):
        layer.attention.self.query.weight.data.zero_()  # every token attends to all alike
        layer.attention.self.query.bias.data.zero_()
    batch = sample(20, seed=3).batches[0]
    real = batch.attention_mask.bool()
    ours, theirs = (
        model.encoder.layer[0].attention(model.embeddings(batch.input_ids), attention_mask=real[:, None, None])[0][real]
        for model in (student, teacher)
    )
    torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    "harm",
    ["outlier", "dead head", "dead unit", "repeated token", "few tokens"],
)
def test_what_is_odd_in_a_teacher_or_its_texts_does_no_harm(harm: str) -> None:
    teacher, texts = make_teacher(), sample()
    if harm == "outlier":
        for layer in teacher.encoder.layer:
            layer.output.LayerNorm.weight.data[7] = 40.0
    elif harm == "dead head":
        for layer in teacher.encoder.layer:
            layer.attention.self.query.weight.data[:8] = layer.attention.self.value.weight.data[:8] = 0.0
    elif harm == "dead unit":
        for layer in teacher.encoder.layer:
            layer.intermediate.dense.bias.data[:20] = -100.0
    else:
        lengths = np.full(30, 6) if harm == "repeated token" else np.array([5])
        texts = FitSample(
            lambda rows: {"input_ids": [np.full(lengths[row], 7) for row in rows]}, np.arange(len(lengths)), lengths, 1
        )
    student, projections = fit(teacher, Student(layers=2, width=12, feed_forward=20, heads=3), texts=texts)
    assert all(torch.isfinite(parameter).all() for parameter in student.parameters())
    found = losses(student, teacher, projections, heads=True)
    states = [trace(teacher, batch, Wanted((4,))).hidden_states[4].detach() for batch in texts.batches]
    size = torch.cat([state.flatten() for state in states]).square().mean().item()
    assert np.isfinite(found).all()
    if harm not in ("repeated token", "few tokens"):
        assert found[2] < size / 2


def test_a_layer_that_starts_from_none_keeps_its_weights_and_the_next_fits_what_it_gives() -> None:
    teacher = make_teacher()
    torch.manual_seed(1)
    student: Any = new_student(Student(layers=2, width=24, feed_forward=40, heads=3), teacher).eval()
    before = student.encoder.layer[0].output.dense.weight.clone()
    projections = FittedStart(student, teacher, sample(), {0: 0, 2: 4}).run()
    assert torch.equal(student.encoder.layer[0].output.dense.weight, before)
    assert sorted(projections) == [0, 2]


def test_the_same_sample_gives_the_same_bytes() -> None:
    teacher = make_teacher()
    first, second = (fit(teacher, Student(layers=2, width=12, feed_forward=20, heads=3))[0] for _ in range(2))
    for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(ours, theirs)
