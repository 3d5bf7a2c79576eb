"""Which rows go through the model when: a pure function of (seed, epoch, step), whatever the number of processes.

A global batch is the rows of one optimiser step. It is cut into micro-batches of fixed membership: rows of similar
lengths, at most so many padded tokens at once. Processes take micro-batches by number. In a pass a micro-batch lies in
buckets of rows of nearly equal lengths, each with its own padding (`pipeline.packing`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.config.training import Training
from pipeline.hardware import ROUND

Rows = np.ndarray  # of row numbers, int64
Bucket = tuple[int, int]
"""Rows, and the tokens that each is padded to."""
Inputs = dict[str, Any]
"""Tensors by name, and `buckets`."""
PASSES = 16  # one more pass costs about as much as this part of the budget of tokens
A_BUCKET = 128  # tokens: what attention to one more bucket costs, whatever is in it
SEQUENCE_ROUND = ROUND**2  # tokens


@dataclass(frozen=True, kw_only=True)
class GlobalBatch:
    """The rows of one optimiser step and the counts that its losses are averaged over."""

    step: int
    epoch: int
    micro_batches: tuple[Rows, ...]
    examples: int
    tokens: int  # real ones
    pairs: int  # real ones: the sum of squared lengths


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Which rows are one original example and its variants."""

    order: np.ndarray  # the rows, group by group
    first: np.ndarray  # where in `order` each group begins
    count: np.ndarray  # rows of each group, the original included

    @classmethod
    def of(cls, source_id: np.ndarray, place: np.ndarray | None = None) -> "Groups":
        """Groups of equal neighbours, parted by their place where an example is several rows (windows)."""
        place = np.zeros_like(source_id) if place is None else place
        example = np.cumsum(np.r_[True, source_id[1:] != source_id[:-1]])
        order = np.lexsort((place, example))  # stable
        key = np.stack([example[order], place[order]])
        first = np.flatnonzero(np.r_[True, (key[:, 1:] != key[:, :-1]).any(axis=0)])
        return cls(order=order, first=first, count=np.diff(np.r_[first, len(order)]))


class BatchPlan:
    """The global batches of a training.

    Args:
        lengths: tokens of every row.
        groups: an epoch shows one row of each group, the next one in the next epoch; None: every row.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        *,
        batch_size: int,
        epochs: float,
        micro_batch_tokens: int,
        seed: int,
        groups: Groups | None = None,
    ) -> None:
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.groups = groups
        self.batch_size = batch_size
        self.micro_batch_tokens = micro_batch_tokens
        self.seed = seed
        self.rows_per_epoch = len(groups.first) if groups else len(self.lengths)
        self.steps_per_epoch = math.ceil(self.rows_per_epoch / batch_size)
        self.steps = math.ceil(epochs * self.steps_per_epoch)
        self._epoch: tuple[int, Rows] = (-1, np.empty(0, dtype=np.int64))

    def at(self, step: int) -> GlobalBatch:
        """The global batch of a step, counted from 0."""
        epoch, place = divmod(step, self.steps_per_epoch)
        rows = self._rows(epoch)[place * self.batch_size : (place + 1) * self.batch_size]
        lengths = self.lengths[rows]
        return GlobalBatch(
            step=step,
            epoch=epoch,
            micro_batches=tuple(pack(rows, lengths, self.micro_batch_tokens)),
            examples=len(rows),
            tokens=int(lengths.sum()),
            pairs=int((lengths**2).sum()),
        )

    def _rows(self, epoch: int) -> Rows:
        if self._epoch[0] != epoch:
            order = np.random.default_rng([self.seed, epoch, 1]).permutation(self.rows_per_epoch)
            if self.groups is not None:
                begin = np.random.default_rng([self.seed, 2]).integers(0, 2**31, self.rows_per_epoch)
                order = self.groups.order[self.groups.first + (begin + epoch) % self.groups.count][order]
            self._epoch = (epoch, order)
        return self._epoch[1]


def planned(lengths: np.ndarray, settings: Training, *, seed: int, groups: Groups | None = None) -> BatchPlan:
    """The global batches that a stage's settings ask for."""
    return BatchPlan(
        lengths,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        micro_batch_tokens=settings.micro_batch_tokens,
        seed=seed,
        groups=groups,
    )


def pack(rows: Rows, lengths: np.ndarray, tokens: int, *, packed: bool = True) -> list[Rows]:
    """Cut rows into micro-batches, longest first, each as many buckets as fit into `tokens` with their padding.

    Args: packed: else a bucket is a micro-batch, for models that see a batch padded to its longest row.
    """
    order = np.argsort(-lengths, kind="stable")
    parts: list[Rows] = []
    start, filled = 0, tokens
    for count, longest in buckets(lengths[order], tokens, cost=A_BUCKET if packed else tokens // PASSES):
        more = rows[order[start : start + count]]
        if packed and filled + count * longest <= tokens:
            parts[-1], filled = np.r_[parts[-1], more], filled + count * longest
        else:
            parts, filled = [*parts, more], count * longest
        start += count
    return parts


def buckets(lengths: np.ndarray, tokens: int, *, cost: int = A_BUCKET) -> list[Bucket]:
    """Cut rows, longest first, into buckets of at most `tokens` with their padding; a row longer than that goes alone.

    Of all such cuts it takes the cheapest, where a bucket takes its padded tokens and `cost` (dynamic programming).
    Rows go in fours where they can: batched products like even numbers, and each new shape is compiled.
    """
    longest = rounded(lengths)
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


def rounded(length: Any) -> Any:
    """A length, or an array of them, up to the next multiple of ROUND."""
    return -(-length // ROUND) * ROUND


def pad(sequences: Sequence[Sequence[int] | np.ndarray], value: int) -> Tensor:
    """Sequences of ids as one tensor (B, T), filled up with `value`; T is a multiple of ROUND."""
    longest = rounded(max(len(ids) for ids in sequences))
    padded = np.full((len(sequences), longest), value, dtype=np.int64)
    for row, ids in zip(padded, sequences, strict=True):
        row[: len(ids)] = ids
    return torch.from_numpy(padded)


def model_inputs(columns: dict[str, Any], pad_id: int) -> Inputs:
    """Tokenised rows as what a model takes: input_ids, attention_mask and, for pairs, token_type_ids, each (B, T).

    With `buckets` and the `places` of the tokens in them where rows come longest first, as in a micro-batch, and that
    saves padding.
    """
    lengths = np.array([len(ids) for ids in columns["input_ids"]])
    inputs: Inputs = {"input_ids": pad(columns["input_ids"], pad_id)}
    inputs["attention_mask"] = pad([np.ones(length, dtype=np.int64) for length in lengths], 0)
    if "token_type_ids" in columns:
        inputs["token_type_ids"] = pad(columns["token_type_ids"], 0)
    if (lengths[1:] <= lengths[:-1]).all():
        found = buckets(lengths, inputs["input_ids"].numel())
        places = _places(lengths, found)
        if len(places) < inputs["input_ids"].numel():
            inputs |= {"buckets": tuple(found), "places": torch.from_numpy(places)}
    return inputs


def _places(lengths: np.ndarray, found: Sequence[Bucket]) -> np.ndarray:
    """Where the tokens of all rows lie when buckets are laid end to end; and as much padding as makes their number one
    that multiplies fast."""
    padded_to = np.repeat([tokens for _, tokens in found], [rows for rows, _ in found])
    begins = np.cumsum(padded_to) - padded_to
    place = np.arange(padded_to.sum())
    kept = place - np.repeat(begins, padded_to) < np.repeat(lengths, padded_to)
    kept[np.flatnonzero(~kept)[: -int(kept.sum()) % SEQUENCE_ROUND]] = True
    return np.flatnonzero(kept)


def on_device(inputs: Inputs, device: torch.device) -> Inputs:
    """The tensors moved, the rest as it is."""
    return {name: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for name, v in inputs.items()}
