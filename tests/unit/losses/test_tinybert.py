"""Each loss against its formula as a slow loop; and what must not change one: padding, and cutting a batch up."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.losses.tinybert import (
    AttentionStates,
    attention_loss,
    hidden_loss,
    label_loss,
    prediction_loss,
    regression_loss,
    squared_gap_direct,
    squared_gap_gram,
)

LENGTHS = (7, 3, 5)
SHORT, LONG = (16, 24), (1, 2)  # head widths for which 7 tokens take the direct form, and the Gram form


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def real_tokens(lengths: tuple[int, ...] = LENGTHS, *, longest: int = 7) -> Tensor:
    return torch.arange(longest) < torch.tensor(lengths)[:, None]


def attention_states(width: int, *, heads: int = 2, seed: int) -> AttentionStates:
    shape = (len(LENGTHS), heads, 7, width)
    return without_values(random(*shape, seed=seed), random(*shape, seed=seed + 100))


def without_values(query: Tensor, key: Tensor) -> AttentionStates:
    """No loss here reads values."""
    return AttentionStates(query, key, value=torch.full_like(key, torch.nan))


def dot(left: Tensor, right: Tensor) -> float:
    return sum(x * y for x, y in zip(left.tolist(), right.tolist(), strict=True))


def test_the_hidden_loss_is_equation_8() -> None:
    student, teacher = random(3, 7, 4, seed=1), random(3, 7, 4, seed=2)
    squares = [
        (student[b, t, d].item() - teacher[b, t, d].item()) ** 2
        for b, length in enumerate(LENGTHS)
        for t in range(length)
        for d in range(4)
    ]
    loss = hidden_loss(student, teacher, real_tokens())
    assert loss.item() == pytest.approx(sum(squares) / len(squares), rel=1e-6)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("widths", [SHORT, LONG])
def test_the_attention_loss_is_equation_7_whichever_form_is_cheaper(widths: tuple[int, int], causal: bool) -> None:
    student, teacher = (attention_states(width, seed=width) for width in widths)
    of_each_head = []
    for h in range(2):
        squares = []
        for b, length in enumerate(LENGTHS):
            for i in range(length):
                for j in range(i + 1 if causal else length):
                    ours = dot(student.query[b, h, i], student.key[b, h, j]) / math.sqrt(widths[0])
                    theirs = dot(teacher.query[b, h, i], teacher.key[b, h, j]) / math.sqrt(widths[1])
                    squares.append((ours - theirs) ** 2)
        of_each_head.append(sum(squares) / len(squares))
    loss = attention_loss(student, teacher, real_tokens(), causal=causal)
    assert loss.item() == pytest.approx(sum(of_each_head) / 2, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_prediction_loss_is_equation_10_times_the_squared_temperature(temperature: float) -> None:
    student, teacher = random(4, 3, seed=1), random(4, 3, seed=2)
    total = 0.0
    for ours, theirs in zip(student.tolist(), teacher.tolist(), strict=True):
        target = [math.exp(z / temperature) for z in theirs]
        found = [math.exp(z / temperature) for z in ours]
        total -= sum(t / sum(target) * math.log(f / sum(found)) for t, f in zip(target, found, strict=True))
    loss = prediction_loss(student, teacher, temperature=temperature)
    assert loss.item() == pytest.approx(temperature**2 * total / 4, rel=1e-6)


def test_where_the_teacher_says_nothing_the_prediction_loss_is_0() -> None:
    student, teacher = random(4, 3, seed=1), random(4, 3, seed=2)
    known = torch.tensor([True, False, True, False])
    loss = prediction_loss(student, teacher, temperature=2, examples=4, known_B=known)
    assert loss.item() == pytest.approx(prediction_loss(student[known], teacher[known], temperature=2).item() / 2)


def test_the_regression_loss_is_the_mean_squared_gap() -> None:
    ours, target = random(4, 1, seed=1), random(4, 1, seed=2)
    squares = [(x - y) ** 2 for (x,), (y,) in zip(ours.tolist(), target.tolist(), strict=True)]
    assert regression_loss(ours, target).item() == pytest.approx(sum(squares) / 4, rel=1e-6)


def test_the_label_loss_is_the_cross_entropy() -> None:
    logits, labels = random(4, 3, seed=1), [0, 2, 1, 2]
    rows = zip(logits.tolist(), labels, strict=True)
    total = sum(math.log(sum(math.exp(z) for z in row)) - row[label] for row, label in rows)
    assert label_loss(logits, torch.tensor(labels)).item() == pytest.approx(total / 4, rel=1e-6)


@pytest.mark.parametrize(("widths", "form"), [(SHORT, "squared_gap_direct"), (LONG, "squared_gap_gram")])
def test_the_cheaper_form_is_taken(monkeypatch: pytest.MonkeyPatch, widths: tuple[int, int], form: str) -> None:
    monkeypatch.delattr(f"pipeline.losses.tinybert.{form}")
    with pytest.raises(NameError, match=form):
        attention_loss(attention_states(widths[0], seed=1), attention_states(widths[1], seed=2), real_tokens())


@pytest.mark.parametrize("gap", [1.0, 1e-1, 1e-2, 1e-3])
def test_the_gram_form_is_the_direct_form_also_for_a_student_that_has_nearly_converged(gap: float) -> None:
    # The error of both is a rounding of the scores, so it is held against their norm, not against the tiny loss.
    query, key = random(2, 40, 8, seed=1), random(2, 40, 8, seed=2)
    students = [query + gap * random(2, 40, 8, seed=3), key + gap * random(2, 40, 8, seed=4)]
    form: Callable[[Tensor, Tensor, int], tuple[Tensor, ...]]
    results: list[tuple[Tensor, ...]] = []
    for form, dtype in (
        (squared_gap_direct, torch.float64),
        (squared_gap_direct, torch.float32),
        (squared_gap_gram, torch.float32),
    ):
        q, k = (student.to(dtype) for student in students)
        results.append(form(torch.cat([q, -query.to(dtype)], dim=-1), torch.cat([k, key.to(dtype)], dim=-1), 8))
    norm = (query @ key.transpose(-1, -2)).norm()
    exact, *inexact = results
    for found in inexact:
        assert abs(found[0] - exact[0]) < 1e-6 * norm**2
        assert (found[1] - exact[1]).norm() < 1e-6 * norm * key.norm()
        assert (found[2] - exact[2]).norm() < 1e-6 * norm * query.norm()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("widths", [SHORT, LONG])
def test_the_gradient_of_the_attention_loss_is_that_of_its_formula(widths: tuple[int, int], causal: bool) -> None:
    real = real_tokens()
    pairs = (real[:, None, :, None] & real[:, None, None, :]).double()
    pairs = pairs.tril() if causal else pairs
    teacher = attention_states(widths[1], seed=2)
    query, key = (tensor.clone().requires_grad_() for tensor in attention_states(widths[0], seed=1)[:2])
    loss = attention_loss(without_values(query, key), teacher, real, causal=causal)
    found = torch.autograd.grad(3 * loss, [query, key])
    ours, theirs = (
        pair.query.double() @ pair.key.double().transpose(-1, -2) / math.sqrt(width)
        for pair, width in ((without_values(query, key), widths[0]), (teacher, widths[1]))
    )
    right = 3 * ((ours - theirs) ** 2 * pairs).sum() / (2 * pairs.sum())
    for gradient, exact in zip(found, torch.autograd.grad(right, [query, key]), strict=True):
        torch.testing.assert_close(gradient, exact, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("widths", [SHORT, LONG])
def test_padding_changes_neither_layer_loss(widths: tuple[int, int]) -> None:
    student, teacher = (attention_states(width, seed=width) for width in widths)
    hidden = random(3, 7, 4, seed=1), random(3, 7, 4, seed=2)

    def longer(tensor: Tensor, dim: int) -> Tensor:
        garbage = 1e3 * random(*tensor.shape, seed=9).narrow(dim, 0, 6)
        keep = real_tokens().view(3, *(7 if n == dim else 1 for n in range(1, tensor.ndim)))
        return torch.cat([torch.where(keep, tensor, 1e3), garbage], dim=dim)

    real, padded = real_tokens(), real_tokens(longest=13)
    loss = hidden_loss(longer(hidden[0], 1), longer(hidden[1], 1), padded)
    torch.testing.assert_close(loss, hidden_loss(*hidden, real), rtol=1e-6, atol=0)
    ours, theirs = (without_values(longer(pair.query, 2), longer(pair.key, 2)) for pair in (student, teacher))
    loss = attention_loss(ours, theirs, padded)
    torch.testing.assert_close(loss, attention_loss(student, teacher, real), rtol=1e-5, atol=0)


def test_micro_batches_with_the_counts_of_all_add_up_to_the_batch() -> None:
    real, labels = real_tokens(), torch.tensor([0, 2, 1])
    state, theirs = random(3, 7, 4, seed=1).requires_grad_(), random(3, 7, 4, seed=2)
    logits, target = random(3, 3, seed=3).requires_grad_(), random(3, 3, seed=4)
    query = random(3, 2, 7, 5, seed=5).requires_grad_()
    key, teacher = attention_states(5, seed=6).key, attention_states(3, seed=7)

    def losses(rows: slice) -> Tensor:
        ours, other = without_values(query[rows], key[rows]), without_values(teacher.query[rows], teacher.key[rows])
        return torch.stack(
            [
                hidden_loss(state[rows], theirs[rows], real[rows], tokens=sum(LENGTHS)),
                attention_loss(ours, other, real[rows], pairs=sum(n**2 for n in LENGTHS)),
                prediction_loss(logits[rows], target[rows], temperature=2, examples=3),
                regression_loss(logits[rows, :1], target[rows, :1], examples=3),
                label_loss(logits[rows], labels[rows], examples=3),
            ]
        )

    whole, parts = losses(slice(3)), losses(slice(0, 1)) + losses(slice(1, 3))
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-7)
    for found, right in zip(
        torch.autograd.grad(parts.sum(), [state, query, logits]),
        torch.autograd.grad(whole.sum(), [state, query, logits]),
        strict=True,
    ):
        torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-7)


def test_unequal_head_counts_are_the_users_error() -> None:
    with pytest.raises(UserError, match="the student has 2 attention heads, the teacher 3"):
        attention_loss(attention_states(4, seed=1), attention_states(4, heads=3, seed=2), real_tokens())


@pytest.mark.parametrize("widths", [SHORT, LONG])
def test_the_attention_loss_is_computed_in_float32_under_autocast(widths: tuple[int, int]) -> None:
    student, teacher = (attention_states(width, seed=width) for width in widths)
    with torch.autocast("cpu", torch.bfloat16):
        loss = attention_loss(student, teacher, real_tokens())
    assert loss.dtype == torch.float32
    assert loss == attention_loss(student, teacher, real_tokens())


def test_losses_of_bf16_tensors_are_float32() -> None:
    half, real = random(3, 7, 4).bfloat16(), real_tokens()
    with torch.autocast("cpu", torch.bfloat16):
        losses = [
            hidden_loss(half, half, real),
            prediction_loss(half[0], half[1], temperature=1),
            regression_loss(half[0, :, :1], half[1, :, :1]),
            label_loss(half[0], torch.zeros(7, dtype=torch.long)),
        ]
    assert {loss.dtype for loss in losses} == {torch.float32}


@pytest.mark.parametrize("form", [squared_gap_direct, squared_gap_gram])
def test_a_large_batch_loses_no_digits(form: Callable[..., tuple[Tensor, Tensor, Tensor]]) -> None:
    left, right = torch.randn(2, 16, 12, 128, 32, generator=torch.Generator().manual_seed(0))
    exact = (left.double() @ right.double().transpose(-1, -2)).square().sum()
    assert abs(form(left, right, 16)[0].double() / exact - 1) < 2e-6


def test_labels_and_soft_labels_weigh_what_their_class_weighs() -> None:
    logits, weights = random(4, 3, seed=7), torch.tensor([0.5, 2.0, 1.0])
    labels, soft = torch.tensor([0, 2, 1, 1]), random(4, 3, seed=8).softmax(dim=-1)
    hard = torch.nn.functional.one_hot(labels, 3).float()
    for target, given in ((hard, labels), (soft, soft)):
        total = 0.0
        for row in range(4):
            logs = [value - math.log(sum(math.exp(z) for z in logits[row].tolist())) for value in logits[row].tolist()]
            total -= sum(w * p * log for w, p, log in zip(weights.tolist(), target[row].tolist(), logs, strict=True))
        loss = label_loss(logits, given, examples=8, class_weights=weights)
        assert loss.item() == pytest.approx(total / 8, rel=1e-5)
