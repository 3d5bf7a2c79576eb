"""The losses of TinyBERT (Jiao et al., arXiv:1909.10351), one function an equation.

Legend: B batch, T tokens, D hidden width, H heads, S and R head widths of student and teacher, C classes, E
numbers that are a score or an embedding.

Every loss is a scalar, a mean over real tokens (or pairs of real tokens, or examples), computed in float32; a loss that
multiplies matrices turns autocast off. A batch is often one of several micro-batches of a global batch: give the count
of `tokens`, `pairs` (the sum of squared lengths) or `examples` over all of them, and the micro-batches' losses add up
to the mean. None: the count of this batch. `real_BT` is True on tokens, False on padding.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, log_softmax, mse_loss

from pipeline.errors import UserError


class AttentionStates(NamedTuple):
    """Queries, keys and values of one layer (or of one bucket of it), each (B, H, T, head width)."""

    query: Tensor
    key: Tensor
    value: Tensor


def hidden_loss(student_BTD: Tensor, teacher_BTD: Tensor, real_BT: Tensor, *, tokens: int | None = None) -> Tensor:
    """Mean squared gap of hidden states: TinyBERT eq. 8 (and eq. 9, on the output of the embeddings).

        L = MSE(H^S W_h, H^T)

    Args: student_BTD: the student's hidden states, already projected to the teacher's width by W_h.
    """
    tokens = int(real_BT.sum()) if tokens is None else tokens
    gap_BTD = student_BTD.float() - teacher_BTD.float()
    return (gap_BTD.square().sum(dim=-1) * real_BT).sum() / (tokens * gap_BTD.shape[-1])


def attention_loss(
    student: AttentionStates,
    teacher: AttentionStates,
    real_BT: Tensor,
    *,
    pairs: int | None = None,
    causal: bool = False,
) -> Tensor:
    """Mean squared gap of the unnormalised attention scores: TinyBERT eq. 7.

        L = 1/H * sum_h MSE(A_h^S, A_h^T),   A = Q K' / sqrt(head width)

    Only pairs of real tokens enter the mean, and all of them: a teacher with local attention (ModernBERT) needs texts
    within its window. Takes the cheaper of two exact forms: the (T, T) gap itself, or its Gram form. Neither keeps a
    (T, T) tensor.

    Args: causal: for decoders, only pairs of a token i and a token j <= i count, by the (T, T) gap; padding is on the
        right. `pairs` is then the sum of T (T + 1) / 2 over the texts.
    Raises: UserError when the numbers of heads differ.
    """
    heads = same_heads(student, teacher)
    lengths_B = real_BT.sum(dim=1)
    pairs_B = lengths_B * (lengths_B + 1) // 2 if causal else lengths_B.square()
    pairs = int(pairs_B.sum()) if pairs is None else pairs
    device = student.query.device.type
    with torch.autocast(device, enabled=False):  # the Grams are useless in bf16 for a converged student
        squares: Tensor = _SquaredGap.apply(student.query, student.key, teacher, real_BT, causal)
    return squares / (heads * pairs)


def same_heads(student: AttentionStates, teacher: AttentionStates) -> int:
    """The number of heads of both. Raises: UserError, which names the objective that needs no equal heads."""
    heads, theirs = student.query.shape[1], teacher.query.shape[1]
    if heads != theirs:
        raise UserError(
            f"the student has {heads} attention heads, the teacher {theirs}; make them equal, or copy query_relations,"
            " key_relations and value_relations instead, for which they may differ"
        )
    return heads


class _SquaredGap(torch.autograd.Function):
    """||X Y'||^2 of `_score_gap_factors`, with the gradient of the student's part alone, taken on the way forward."""

    @staticmethod
    def forward(  # noqa: PLR0917 (`apply` takes no keywords)
        ctx: Any, query: Tensor, key: Tensor, teacher: AttentionStates, real_BT: Tensor, causal: bool
    ) -> Tensor:
        left, right = _score_gap_factors(query, key, teacher, real_BT)
        T, D, S = *left.shape[-2:], query.shape[-1]
        if causal or T * (D + 2 * S) < 2 * D * (D + S):
            squares, left_gradient, right_gradient = squared_gap_direct(left, right, S, causal=causal)
        else:
            squares, left_gradient, right_gradient = squared_gap_gram(left, right, S)
        ctx.save_for_backward((left_gradient * S**-0.5).to(query.dtype), right_gradient.to(key.dtype))
        return squares

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        of_query, of_key = ctx.saved_tensors
        return gradient * of_query, gradient * of_key, None, None, None


def _score_gap_factors(query: Tensor, key: Tensor, teacher: AttentionStates, real_BT: Tensor) -> tuple[Tensor, Tensor]:
    """X and Y, (B, H, T, S + R), with X Y' the gap of the scores; rows of padding are zero.

    X = [Q / sqrt(S), -Q^T / sqrt(R)] and Y = [K, K^T] for the student's Q, K and the teacher's Q^T, K^T.
    """
    S, R = query.shape[-1], teacher.query.shape[-1]
    real = real_BT[:, None, :, None].float()  # bf16 times float32 is float32
    left = torch.cat([query * (real * S**-0.5), teacher.query * (real * -(R**-0.5))], dim=-1)
    return left, torch.cat([key * real, teacher.key * real], dim=-1)


def squared_gap_direct(
    left: Tensor, right: Tensor, width: int, *, causal: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """||X Y'||^2 by writing X Y' out, and its gradients for the first `width` columns of X and Y.

    Cost grows with T^2 (D + 2 width), D the columns of X.

    Args: causal: of X Y' only the diagonal and what is below it count.
    """
    gap = left @ right.transpose(-1, -2)
    gap = gap.tril() if causal else gap
    squares = torch.linalg.vector_norm(gap, dim=(-1, -2)).square().sum()  # over all at once it loses digits in float32
    return squares, 2 * (gap @ right[..., :width]), 2 * (gap.transpose(-1, -2) @ left[..., :width])


def squared_gap_gram(left: Tensor, right: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same as <X'X, Y'Y>: no (T, T) tensor, cost grows with 2 T D (D + width)."""
    left_gram, right_gram = left.transpose(-1, -2) @ left, right.transpose(-1, -2) @ right
    squares = (left_gram * right_gram).sum()
    return squares, 2 * (left @ right_gram[..., :width]), 2 * (right @ left_gram[..., :width])


def prediction_loss(
    student_BC: Tensor,
    teacher_BC: Tensor,
    *,
    temperature: float,
    examples: int | None = None,
    known_B: Tensor | None = None,
) -> Tensor:
    """Soft cross-entropy of the logits: TinyBERT eq. 10 where t is 1, as in the paper.

        L = t^2 * CE(z^T / t, z^S / t) = -t^2 * softmax(z^T / t) . log_softmax(z^S / t), a mean over examples

    The square keeps its gradient as large as that of labels, whatever t (Hinton et al., arXiv:1503.02531, section 2).

    Args: known_B: False where the teacher says nothing: such an example adds nothing.
    """
    target_BC = (teacher_BC.float() / temperature).softmax(dim=-1)
    per_example_B = -(target_BC * log_softmax(student_BC.float() / temperature, dim=-1)).sum(dim=-1)
    per_example_B = per_example_B if known_B is None else per_example_B * known_B
    return temperature**2 * per_example_B.sum() / (examples or len(student_BC))


def regression_loss(student_BE: Tensor, target_BE: Tensor, *, examples: int | None = None) -> Tensor:
    """Squared gap to the target score or vector (the teacher's in distillation), a sum over E and a mean over examples.

    Args: student_BE, target_BE: (B, 1) for scores.
    """
    return mse_loss(student_BE.float(), target_BE.float(), reduction="sum") / (examples or len(student_BE))


def similarity_loss(student_BD: Tensor, teacher_BE: Tensor, *, examples: int | None = None) -> Tensor:
    """Mean squared gap of the cosines between the texts of a micro-batch: embeddings of different widths compare.

    The only loss here that depends on how a batch is cut: texts of two micro-batches are not compared.

        L = 1/B * sum_i 1/B * sum_j (s_i . s_j - t_i . t_j)^2, a mean over examples and over the texts beside each

    Args: student_BD, teacher_BE: rows of length 1.
    """
    with torch.autocast(student_BD.device.type, enabled=False):  # cosines near 1 need more digits than bf16 has
        student_BD, teacher_BE = student_BD.float(), teacher_BE.float()
        gap_BB = student_BD @ student_BD.T - teacher_BE @ teacher_BE.T
    return gap_BB.square().mean(dim=1).sum() / (examples or len(gap_BB))


def label_loss(
    logits_BC: Tensor, label: Tensor, *, examples: int | None = None, class_weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy of labels, a mean over examples.

    -w_c log softmax(z)_c of a label c, or of soft labels p  -sum_c w_c p_c log softmax(z)_c

    Args:
        label: (B,) numbers, or (B, C) probabilities.
        class_weights: (C,) w; None: 1 for each.
    """
    total = cross_entropy(logits_BC.float(), label, weight=class_weights, reduction="sum")
    return total / (examples or len(logits_BC))


def binary_prediction_loss(
    student_BC: Tensor, teacher_BC: Tensor, *, temperature: float, examples: int | None = None
) -> Tensor:
    """Soft cross-entropy of logits that are each a label of their own: eq. 10 for two classes, a mean over C.

    L = t^2 * 1/C * sum_c BCE(sigmoid(z_c^T / t), sigmoid(z_c^S / t)), a mean over examples
    """
    target_BC = (teacher_BC.float() / temperature).sigmoid()
    return temperature**2 * binary_label_loss(student_BC.float() / temperature, target_BC, examples=examples)


def binary_label_loss(
    logits_BC: Tensor, label_BC: Tensor, *, examples: int | None = None, class_weights: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy of labels 0 and 1, or of probabilities, a mean over examples and over C.

    Args: class_weights: (C,) w, the weight of 1, where that of 0 is 1 (`pos_weight` of PyTorch); None: 1 for each.
    """
    total = binary_cross_entropy_with_logits(
        logits_BC.float(), label_BC.float(), pos_weight=class_weights, reduction="sum"
    )
    return total / ((examples or len(logits_BC)) * logits_BC.shape[1])
