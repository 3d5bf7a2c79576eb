"""The losses of related methods against their formulas as slow loops; padding and cuts of a batch change none."""

import math

import pytest
import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.losses.related_methods import attention_map_loss, cosine_loss, normalised_hidden_loss, relation_loss
from pipeline.losses.tinybert import AttentionStates

LENGTHS = (7, 3, 5)
TOKENS = sum(LENGTHS)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def real_tokens(longest: int = 7) -> Tensor:
    return torch.arange(longest) < torch.tensor(LENGTHS)[:, None]


def attention_states(width: int, *, heads: int = 2, seed: int) -> AttentionStates:
    shape = (len(LENGTHS), heads, 7, width)
    return without_values(random(*shape, seed=seed), random(*shape, seed=seed + 100))


def without_values(query: Tensor, key: Tensor) -> AttentionStates:
    """No loss here reads values."""
    return AttentionStates(query, key, value=torch.full_like(key, torch.nan))


def dot(left: list[float], right: list[float]) -> float:
    return sum(x * y for x, y in zip(left, right, strict=True))


def norm(vector: list[float]) -> float:
    return math.sqrt(dot(vector, vector))


def distribution(query: list[float], keys: list[list[float]]) -> list[float]:
    weights = [math.exp(dot(query, key) / math.sqrt(len(query))) for key in keys]
    return [weight / sum(weights) for weight in weights]


def divergence(of_teacher: list[float], of_student: list[float]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(of_teacher, of_student, strict=True))


def test_the_cosine_loss_is_one_minus_the_cosine_of_real_tokens() -> None:
    student, teacher = random(3, 7, 4, seed=1).tolist(), random(3, 7, 4, seed=2).tolist()
    total = 0.0
    for b, length in enumerate(LENGTHS):
        for t in range(length):
            ours, theirs = student[b][t], teacher[b][t]
            total += 1 - dot(ours, theirs) / (norm(ours) * norm(theirs))
    loss = cosine_loss(torch.tensor(student), torch.tensor(teacher), real_tokens())
    assert loss.item() == pytest.approx(total / TOKENS, rel=1e-5)


def test_the_normalised_hidden_loss_is_the_squared_distance_of_first_tokens_on_the_sphere() -> None:
    student, teacher = random(3, 7, 4, seed=1).tolist(), random(3, 7, 4, seed=2).tolist()
    total = 0.0
    for b in range(3):
        ours, theirs = student[b][0], teacher[b][0]
        total += sum((x / norm(ours) - y / norm(theirs)) ** 2 for x, y in zip(ours, theirs, strict=True))
    loss = normalised_hidden_loss(torch.tensor(student), torch.tensor(teacher))
    assert loss.item() == pytest.approx(total / 3, rel=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_the_attention_map_loss_is_the_divergence_of_the_maps(causal: bool) -> None:
    student, teacher = attention_states(4, seed=1), attention_states(6, seed=2)
    total = 0.0
    for b, length in enumerate(LENGTHS):
        for h in range(2):
            for t in range(length):
                last = t + 1 if causal else length
                ours, theirs = (
                    distribution(one.query[b, h, t].tolist(), one.key[b, h, :last].tolist())
                    for one in (student, teacher)
                )
                total += divergence(theirs, ours)
    loss = attention_map_loss(student, teacher, real_tokens(), causal=causal)
    assert loss.item() == pytest.approx(total / (2 * TOKENS), rel=1e-5)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", [1, 2, 4, 12])
def test_the_relation_loss_is_the_divergence_of_relations_of_any_number_of_heads(heads: int, causal: bool) -> None:
    student, teacher = random(3, 3, 7, 4, seed=1), random(3, 2, 7, 12, seed=2)  # 3 heads of 4, and 2 of 12
    total = 0.0
    for b, length in enumerate(LENGTHS):
        for a in range(heads):
            maps = []
            for states in (student, teacher):
                tokens = [states[b, :, t].flatten().tolist() for t in range(length)]
                width = len(tokens[0]) // heads
                parts = [token[a * width : (a + 1) * width] for token in tokens]
                maps.append([distribution(part, parts[: i + 1] if causal else parts) for i, part in enumerate(parts)])
            total += sum(divergence(theirs, ours) for ours, theirs in zip(*maps, strict=True))
    loss = relation_loss(student, teacher, real_tokens(), heads=heads, causal=causal)
    assert loss.item() == pytest.approx(total / (heads * TOKENS), rel=1e-5)


def losses(states: list[Tensor], real: Tensor, *, tokens: int | None = None, examples: int | None = None) -> Tensor:
    """All of them, of two hidden states (B, T, D) and two of a head's states (B, H, T, D)."""
    ours, theirs, query, key = states
    return torch.stack(
        [
            cosine_loss(ours, theirs, real, tokens=tokens),
            normalised_hidden_loss(ours, theirs, examples=examples),
            attention_map_loss(without_values(query, key), without_values(key, query), real, tokens=tokens),
            relation_loss(query, key, real, heads=4, tokens=tokens),
        ]
    )


def states() -> list[Tensor]:
    return [random(3, 7, 4, seed=1), random(3, 7, 4, seed=2), *attention_states(8, seed=3)[:2]]


def test_padding_changes_none_of_them() -> None:
    def longer(tensor: Tensor) -> Tensor:
        dim = tensor.ndim - 2
        keep = real_tokens().view(3, *(7 if n == dim else 1 for n in range(1, tensor.ndim)))
        garbage = 1e3 * random(*tensor.shape, seed=9).narrow(dim, 0, 6)
        return torch.cat([torch.where(keep, tensor, 1e3), garbage], dim=dim)

    found = losses([longer(tensor) for tensor in states()], real_tokens(longest=13))
    torch.testing.assert_close(found, losses(states(), real_tokens()), rtol=1e-5, atol=1e-7)


def test_micro_batches_with_the_counts_of_all_add_up_to_the_batch() -> None:
    given = [tensor.requires_grad_() for tensor in states()]

    def of(rows: slice) -> Tensor:
        return losses([tensor[rows] for tensor in given], real_tokens()[rows], tokens=TOKENS, examples=3)

    whole, parts = of(slice(3)), of(slice(0, 1)) + of(slice(1, 3))
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-7)
    for found, right in zip(
        torch.autograd.grad(parts.sum(), given), torch.autograd.grad(whole.sum(), given), strict=True
    ):
        torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-7)


def test_a_student_that_has_become_its_teacher_loses_nothing() -> None:
    state, pair = random(3, 7, 4), attention_states(8, seed=3)
    alike = losses([state, 2 * state, pair.query, pair.query], real_tokens())  # the length of a vector does not matter
    torch.testing.assert_close(alike[[0, 1, 3]], torch.zeros(3), rtol=0, atol=1e-6)
    torch.testing.assert_close(attention_map_loss(pair, pair, real_tokens()), torch.zeros(()), rtol=0, atol=1e-6)


def test_all_are_float32_under_autocast() -> None:
    half = [tensor.bfloat16() for tensor in states()]
    with torch.autocast("cpu", torch.bfloat16):
        found = losses(half, real_tokens())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, losses([tensor.float() for tensor in half], real_tokens()))


def test_unequal_head_counts_are_the_users_error_and_name_the_relations() -> None:
    with pytest.raises(UserError, match="2 attention heads, the teacher 3; make them equal, or copy query_rel"):
        attention_map_loss(attention_states(4, seed=1), attention_states(4, heads=3, seed=2), real_tokens())


def test_relation_heads_that_do_not_divide_the_width_are_the_users_error() -> None:
    states = random(3, 2, 7, 4)
    with pytest.raises(UserError, match="relation_heads: 3 heads do not divide a width of 8"):
        relation_loss(states, states, real_tokens(), heads=3)
