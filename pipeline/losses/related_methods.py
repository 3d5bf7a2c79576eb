"""The losses of related methods, one function an equation: DistilBERT, PKD, MiniLM and MiniLMv2.

Legend, counts and means as in `pipeline.losses.tinybert`. The maps of `divergence` are made again in the backward pass.
"""

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize
from torch.utils.checkpoint import checkpoint

from pipeline.errors import require
from pipeline.losses.tinybert import AttentionStates, same_heads


def cosine_loss(student_BTD: Tensor, teacher_BTD: Tensor, real_BT: Tensor, *, tokens: int | None = None) -> Tensor:
    """One minus the cosine of hidden states: DistilBERT (Sanh et al., arXiv:1910.01108, section 2, L_cos).

        L = 1 - cos(h^S W_h, h^T)

    A mean over real tokens.
    """
    tokens = int(real_BT.sum()) if tokens is None else tokens
    cosine_BT = cosine_similarity(student_BTD.float(), teacher_BTD.float(), dim=-1)
    return ((1 - cosine_BT) * real_BT).sum() / tokens


def normalised_hidden_loss(student_BTD: Tensor, teacher_BTD: Tensor, *, examples: int | None = None) -> Tensor:
    """Squared distance of the first token's normalised hidden states: PKD (Sun et al., arXiv:1908.09355, section 3.2).

        L = || h^S W_h / ||h^S W_h|| - h^T / ||h^T|| ||^2

    A mean over examples.
    """
    gap_BD = normalize(student_BTD[:, 0].float(), dim=-1) - normalize(teacher_BTD[:, 0].float(), dim=-1)
    return gap_BD.square().sum() / (examples or len(gap_BD))


def attention_map_loss(
    student: AttentionStates,
    teacher: AttentionStates,
    real_BT: Tensor,
    *,
    tokens: int | None = None,
    causal: bool = False,
) -> Tensor:
    """Divergence of the attention distributions: MiniLM (Wang et al., arXiv:2002.10957, section 3.1).

        L = 1 / (H * tokens) * sum over heads and real tokens of KL(A^T || A^S),   A = softmax(Q K' / sqrt(head width))

    Both are over the whole text: a teacher with local attention (ModernBERT) needs texts within its window.

    Args: causal: for decoders, a token's distribution is over itself and the tokens before it.
    Raises: UserError when the numbers of heads differ.
    """
    same_heads(student, teacher)
    return divergence(student.query, student.key, teacher.query, teacher.key, real_BT, tokens=tokens, causal=causal)


def relation_loss(
    student_BHTD: Tensor,
    teacher_BHTD: Tensor,
    real_BT: Tensor,
    *,
    heads: int,
    tokens: int | None = None,
    causal: bool = False,
) -> Tensor:
    """Divergence of the relations between queries, keys or values: MiniLMv2 (arXiv:2012.15828, section 3.1).

        L = 1 / (heads * tokens) * sum over heads and real tokens of KL(R^T || R^S),   R = softmax(X X' / sqrt(width))

    X is what all heads hold of a token, cut anew into `heads` relation heads: so both models may have heads and widths
    of their own. With the teacher's heads and X the values it is MiniLM's (arXiv:2002.10957, section 3.2).

    Args: causal: for decoders, a token is related to itself and the tokens before it.
    Raises: UserError when a model's width is no multiple of `heads`.
    """
    ours, theirs = (_cut(tensor, heads) for tensor in (student_BHTD, teacher_BHTD))
    return divergence(ours, ours, theirs, theirs, real_BT, tokens=tokens, causal=causal)


def divergence(
    query: Tensor,
    key: Tensor,
    their_query: Tensor,
    their_key: Tensor,
    real_BT: Tensor,
    *,
    tokens: int | None = None,
    causal: bool = False,
) -> Tensor:
    """Mean KL of the teacher's map to the student's, each softmax(Q K' / sqrt(D)) over the real tokens.

    Args: each (B, H, T, D); D may differ between student and teacher. causal: over those up to the token itself.
    """
    tokens = int(real_BT.sum()) if tokens is None else tokens
    with torch.autocast(query.device.type, enabled=False):
        arguments = (query, key, their_query, their_key, real_BT)
        run = partial(_divergence, causal=causal)
        total: Tensor = checkpoint(run, *arguments, use_reentrant=False, preserve_rng_state=False)
    return total / (query.shape[1] * tokens)


def _divergence(
    query: Tensor, key: Tensor, their_query: Tensor, their_key: Tensor, real_BT: Tensor, *, causal: bool
) -> Tensor:
    seen = real_BT[:, None, None]
    if causal:
        T = real_BT.shape[1]
        seen = seen & torch.ones((T, T), dtype=torch.bool, device=real_BT.device).tril()
    ours_BHTT, theirs_BHTT = _log_map(query, key, seen), _log_map(their_query, their_key, seen)
    per_query_BHT = (theirs_BHTT.exp() * (theirs_BHTT - ours_BHTT)).sum(dim=-1)
    return (per_query_BHT * real_BT[:, None]).sum()


def _log_map(query: Tensor, key: Tensor, seen: Tensor) -> Tensor:
    scores_BHTT = (query.float() * query.shape[-1] ** -0.5) @ key.float().transpose(-1, -2)
    nowhere = torch.finfo(torch.float32).min
    return scores_BHTT.masked_fill(~seen, nowhere).log_softmax(dim=-1)


def _cut(tensor_BHTD: Tensor, heads: int) -> Tensor:
    B, H, T, D = tensor_BHTD.shape
    if heads == H:
        return tensor_BHTD
    require(H * D % heads == 0, f"relation_heads: {heads} heads do not divide a width of {H * D}")
    return tensor_BHTD.transpose(1, 2).reshape(B, T, heads, -1).transpose(1, 2)
