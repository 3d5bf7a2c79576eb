"""A batch of texts as one sequence, without padding.

Texts of similar lengths make a bucket, (rows, tokens), padded to its longest. Whatever treats tokens one by one
(embeddings, linear layers, norms, the losses on hidden states) sees the tokens of all buckets end to end, as one row;
attention alone goes bucket by bucket.

Legend: B rows, T tokens of the longest, N tokens of the sequence, P slots in all buckets (Q of them padding), b and t
rows and tokens of one bucket.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

Bucket = tuple[int, int]  # rows, and the tokens that each is padded to


class Packing(NamedTuple):
    """How a batch lies in one sequence."""

    buckets: tuple[Bucket, ...]
    real: tuple[Tensor, ...]  # of each bucket, (b, t): True on tokens, False on padding
    slots: Tensor  # (N,): where each token of the sequence lies among the slots of all buckets
    tokens: Tensor  # (P,): the token of the sequence that lies at each slot, any where none does
    padding: Tensor  # (Q,): the slots where none does

    @classmethod
    def of(cls, buckets: Sequence[Bucket], slots: Tensor, attention_mask_BT: Tensor) -> "Packing":
        """The packing of a batch whose rows lie in these buckets, in order."""
        tokens = slots.new_full((sum(rows * tokens for rows, tokens in buckets),), -1)
        tokens[slots] = torch.arange(len(slots))
        padding = (tokens < 0).nonzero()[:, 0]
        real = tuple(_cut(attention_mask_BT.bool(), buckets))
        return cls(tuple(buckets), real, slots, tokens.clamp(min=0), padding)

    def map(self, move: Callable[[Tensor], Tensor]) -> "Packing":
        """The same with each tensor moved."""
        return Packing(self.buckets, tuple(map(move, self.real)), *map(move, self[2:]))

    def pack(self, tensor_BT: Tensor) -> Tensor:
        """(B, T, ...) as (1, N, ...)."""
        return self.join(_cut(tensor_BT, self.buckets))

    def unpack(self, tensor_1ND: Tensor) -> Tensor:
        """(1, N, D) as (B, T, D), zero on padding."""
        longest = self.buckets[0][1]
        return torch.cat([pad(part, (0, 0, 0, longest - part.shape[1])) for part in self.split(tensor_1ND)])

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """One tensor a bucket, (b, t, ...), as one sequence (1, N, ...)."""
        return _Join.apply(torch.cat([part.flatten(0, 1) for part in parts]), *self[2:])[None]

    def split(self, tensor_1N: Tensor) -> list[Tensor]:
        """(1, N, ...) as one tensor a bucket, (b, t, ...), zero on padding."""
        tensor_P = _Split.apply(tensor_1N[0], *self[2:])
        parts = tensor_P.split([rows * tokens for rows, tokens in self.buckets])
        return [part.unflatten(0, bucket) for part, bucket in zip(parts, self.buckets, strict=True)]

    def first_tokens(self, tensor_1ND: Tensor) -> Tensor:
        """(1, N, D) as (B, 1, D): the first token of each row."""
        return torch.cat([part[:, :1] for part in self.split(tensor_1ND)])


class _Join(torch.autograd.Function):
    """(P, ...) as (N, ...). Reading rows by number is several times as fast on CPUs as writing them by number, which is
    how torch would take the gradient back.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, slots: Tensor, tokens: Tensor, padding: Tensor) -> Tensor:
        ctx.save_for_backward(tokens, padding)
        return tensor.index_select(0, slots)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _at_slots(gradient, *ctx.saved_tensors), None, None, None


class _Split(torch.autograd.Function):
    """(N, ...) as (P, ...), zero on padding: `_Join` the other way round."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, slots: Tensor, tokens: Tensor, padding: Tensor) -> Tensor:
        ctx.save_for_backward(slots)
        return _at_slots(tensor, tokens, padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return gradient.index_select(0, *ctx.saved_tensors), None, None, None


def _at_slots(tensor: Tensor, tokens: Tensor, padding: Tensor) -> Tensor:
    return tensor.index_select(0, tokens).index_fill_(0, padding, 0)


def _cut(tensor_BT: Tensor, buckets: Sequence[Bucket]) -> list[Tensor]:
    """(B, T, ...) as one tensor a bucket, (b, t, ...)."""
    parts = tensor_BT.split([rows for rows, _ in buckets])
    return [part[:, :tokens] for part, (_, tokens) in zip(parts, buckets, strict=True)]
