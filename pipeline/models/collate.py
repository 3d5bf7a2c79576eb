"""."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.hardware import ROUND

Rows = np.ndarray  # of row numbers, int64


Bucket = tuple[int, int]
"""Rows, and the tokens that each is padded to."""


Inputs = dict[str, Any]
"""Tensors by name, and `buckets`."""


A_BUCKET = 128  # tokens: what attention to one more bucket costs, whatever is in it


SEQUENCE_ROUND = ROUND**2  # tokens


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
