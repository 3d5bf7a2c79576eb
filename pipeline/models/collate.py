"""Token sequences as a batch of tensors: padded, and where models can take it without padding, packed.

A batch lies in buckets of rows of nearly equal lengths, each with its own padding (`packing`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.hardware import ROUND, packing_costs, round_up
from pipeline.models.packing import Bucket, Packing

Rows = np.ndarray  # of row numbers, int64
SEQUENCE_ROUND = ROUND**2  # tokens


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What goes through a model at once. B rows, T tokens of the longest."""

    input_ids: Tensor  # (B, T)
    attention_mask: Tensor  # (B, T)
    token_type_ids: Tensor | None = None  # (B, T)
    packing: Packing | None = None  # how it lies in one sequence; None: the models see it padded
    full: bool = False  # whether it is known to hold no padding, so that models need no mask
    targets: Mapping[str, Tensor] = field(default_factory=dict)
    """What the losses need beside the model's outputs, such as `labels`."""
    key: tuple[int, bytes] | None = None
    """The epoch and the rows of a micro-batch of a training: the same key, the same tensors."""
    comes_again: bool = False
    """Whether a later step of the training has it too."""

    def with_targets(self, **targets: Tensor) -> "Batch":
        """The same batch with more targets."""
        return replace(self, targets={**self.targets, **targets})

    def padded(self) -> "Batch":
        """The same batch, for a model that sees it padded."""
        return replace(self, packing=None)

    def to(self, device: torch.device) -> "Batch":
        """Every tensor moved to a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """Every tensor in page-locked memory, from which a copy to a GPU is not waited for."""
        return self._map(Tensor.pin_memory)

    def _map(self, move: Callable[[Tensor], Tensor]) -> "Batch":
        return replace(
            self,
            input_ids=move(self.input_ids),
            attention_mask=move(self.attention_mask),
            token_type_ids=None if self.token_type_ids is None else move(self.token_type_ids),
            packing=None if self.packing is None else self.packing.map(move),
            targets={name: move(tensor) for name, tensor in self.targets.items()},
        )


def collate(columns: Mapping[str, Any], pad_id: int, *, packed: bool) -> Batch:
    """Token sequences as a batch.

    Args:
        columns: `input_ids`, a sequence of ids a row, and for pairs `token_type_ids`.
        packed: whether the models can take it as one sequence (`attention.can_pack`). It is packed where rows also come
            longest first, as in a micro-batch, and that saves padding: on a GPU much of it.
    """
    lengths = np.array([len(ids) for ids in columns["input_ids"]])
    segments = columns.get("token_type_ids")
    input_ids = pad(columns["input_ids"], pad_id)
    batch = Batch(
        input_ids=input_ids,
        attention_mask=pad([np.ones(length, dtype=np.int64) for length in lengths], 0),
        token_type_ids=None if segments is None else pad(segments, 0),
        full=int(lengths.sum()) == input_ids.numel(),
    )
    if not packed or (lengths[1:] > lengths[:-1]).any():
        return batch
    found = buckets(lengths, batch.input_ids.numel())
    slots = _slots(lengths, found)
    if batch.input_ids.numel() - len(slots) <= packing_costs()[0]:
        return batch
    return replace(batch, packing=Packing.of(found, torch.from_numpy(slots), batch.attention_mask))


def pad(sequences: Sequence[Sequence[int] | np.ndarray], value: int) -> Tensor:
    """Sequences of ids as one tensor (B, T), filled up with `value`; T is a multiple of ROUND."""
    longest = round_up(max(len(ids) for ids in sequences))
    padded = np.full((len(sequences), longest), value, dtype=np.int64)
    for row, ids in zip(padded, sequences, strict=True):
        row[: len(ids)] = ids
    return torch.from_numpy(padded)


def buckets(lengths: np.ndarray, tokens: int, *, cost: int | None = None) -> list[Bucket]:
    """Cut rows, longest first, into buckets of at most `tokens` with their padding; a row longer than that goes alone.

    Of all such cuts it takes the cheapest, where a bucket takes its padded tokens and `cost` (dynamic programming).
    None: what attention to one more bucket costs on this hardware, whatever is in it.
    Rows go in fours where they can: batched products like even numbers, and each new shape is compiled.
    """
    cost = packing_costs()[1] if cost is None else cost
    longest = round_up(lengths)
    unit = ROUND if len(lengths) and ROUND * longest[0] <= tokens else 1
    ends = np.r_[np.arange(0, len(lengths), unit), len(lengths)]  # where a bucket may begin and end
    least, came_from = np.zeros(len(ends)), np.zeros(len(ends), dtype=np.int64)
    for number in range(1, len(ends)):
        rows_within = max(unit, tokens // int(longest[ends[number] - 1]))
        before = np.arange(max(0, number - rows_within // unit - 1), number)
        padded = (ends[number] - ends[before]) * longest[ends[before]]
        allowed = (padded <= tokens) | (before == number - 1)
        total = np.where(allowed, least[before] + padded + cost, np.inf)
        came_from[number], least[number] = before[total.argmin()], total.min()
    found: list[Bucket] = []
    number = len(ends) - 1
    while number > 0:
        start = int(came_from[number])
        found.append((int(ends[number] - ends[start]), int(longest[ends[start]])))
        number = start
    return found[::-1]


def _slots(lengths: np.ndarray, found: Sequence[Bucket]) -> np.ndarray:
    """Where the tokens of all rows lie when buckets are laid end to end.

    Some padding is kept, as much as makes the number of tokens a multiple of SEQUENCE_ROUND, which multiplies fast.
    """
    padded_to = np.repeat([tokens for _, tokens in found], [rows for rows, _ in found])
    begins = np.cumsum(padded_to) - padded_to
    slot = np.arange(padded_to.sum())
    kept = slot - np.repeat(begins, padded_to) < np.repeat(lengths, padded_to)
    kept[np.flatnonzero(~kept)[: -int(kept.sum()) % SEQUENCE_ROUND]] = True
    return np.flatnonzero(kept)
