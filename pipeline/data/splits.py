"""Hold out training rows as dev and test, and check the rows of all splits against each other.

What is held out depends on the number and order of the rows, their labels or groups, and a seed; not on the text, the
process, or PYTHONHASHSEED. The splits are drawn in the order of `shares`. With test first, dev's share does not change
the test rows.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, MutableMapping, Sequence
from typing import Any

from pipeline.data.examples import Example
from pipeline.data.labels import HIDDEN, IS_HIDDEN, labels_of
from pipeline.errors import UserError, nearest

Splits = Mapping[str, Sequence[Example]]

DRAWS = 20  # shuffles of the groups that are tried


def without_repeats(splits: Splits, left_out: MutableMapping[str, int]) -> dict[str, list[Example]]:
    """The first row of each text or pair in all splits, in their order; later ones are counted as 'repeated'."""
    seen: set[tuple[str, ...]] = set()
    kept: dict[str, list[Example]] = {split: [] for split in splits}
    for split, examples in splits.items():
        for example in examples:
            if example.texts in seen:
                left_out["repeated"] += 1
            else:
                seen.add(example.texts)
                kept[split].append(example)
    return kept


def check_varied(train: Sequence[Example], shown: Callable[[Any], str]) -> None:
    """Raises: UserError where all training rows have one label. Args: shown: a label as the sentence names it."""
    found = {shown(example.label) for example in train}
    if len(found) == 1:
        raise UserError(f"{train[0].location}: all training rows have {found.pop()}; there is nothing to learn")


def sorted_names(labels: Collection[str]) -> tuple[str, ...]:
    """Labels in their usual order: numbers by size, before words."""
    return tuple(sorted(labels, key=_numbers_first))


def check_labels(splits: Splits, label_names: tuple[str, ...], *, several: bool = False) -> None:
    """Raises: UserError for a label that is unknown, or that occurs in dev or test and not in the training rows.

    Args: several: whether a row has a tuple of labels.
    """
    known = set(label_names)
    trained = {label for example in splits["train"] for label in labels_of(example, several=several)}
    if any(example.soft is not None for example in splits["train"]):
        trained.update(label_names)  # a soft label tells of every one
    dropping = "" if several else " (task.drop_labels leaves its rows out)"
    for examples in splits.values():
        for example in examples:
            for label in labels_of(example, several=several):
                if label in known and label in trained:
                    continue
                reason = f"unknown label '{label}'{nearest(label, label_names)}{dropping}"
                if label == HIDDEN:
                    reason = IS_HIDDEN
                elif label in known:
                    reason = f"no training row has the label '{label}'; add some{dropping}"
                raise UserError(f"{example.location}: {reason}")
    read = {example.path for example in splits["train"]}
    for split, examples in splits.items():
        own = split != "unlabelled" and examples and examples[0].path not in read
        if own and all(labels_of(example, several=several) == (HIDDEN,) for example in examples):
            raise UserError(f"{examples[0].location}: all labels of the file are {HIDDEN}; {IS_HIDDEN}")


def check_groups(splits: Splits, column: str) -> None:
    """Raises: UserError for a group with rows in two splits, which happens where the user made the splits."""
    home: dict[str, str] = {}
    for split, examples in splits.items():
        for example in examples:
            if example.group is not None and home.setdefault(example.group, split) != split:
                raise UserError(
                    f"{example.location}: {column} '{example.group}' is in {split} and in {home[example.group]}, and"
                    " task.group keeps each value in one split; move its rows, or leave task.group out"
                )


def _numbers_first(label: str) -> tuple[bool, float, str]:
    number = re.fullmatch(r"[+-]?\d+(\.\d+)?", label, re.ASCII)
    return (number is None, float(label) if number else 0.0, label)


def split_by_label(labels: Sequence[Hashable], *, shares: Mapping[str, float], seed: int) -> dict[str, list[int]]:
    """Held-out splits with the same share of each label as the whole. With one label for all rows: a random draw.

    Args: labels: one a row. shares: name of the split to its share of all rows.
    Returns: name to row numbers, ascending. Each holds round(share * rows) rows, fewer only where that would leave a
        label without a row that is not held out.
    """
    by_label: dict[Hashable, list[int]] = {}
    for row in _shuffled(len(labels), seed):
        by_label.setdefault(labels[row], []).append(row)
    free = [row for rows in by_label.values() for row in rows[1:]]  # the first row of each label is never held out
    held_out = {}
    for name, share in shares.items():
        wanted = min(round(share * len(labels)), len(free))
        # `free` is ordered by label, so evenly spaced rows give each label its share, to within one row.
        taken = {free[(2 * i + 1) * len(free) // (2 * wanted)] for i in range(wanted)}
        held_out[name] = sorted(taken)
        free = [row for row in free if row not in taken]
    return held_out


def split_by_group(
    groups: Sequence[Hashable], labels: Sequence[Hashable], *, shares: Mapping[str, float], seed: int
) -> dict[str, list[int]]:
    """Held-out splits of whole groups: no group has rows in two splits.

    Args:
        groups: one a row, such as the film of a review.
        labels: one a row; the same for all rows where they need not be balanced.
        shares: name of the split to its share of all rows.
    Returns: name to row numbers, ascending. Shuffled groups fill each split greedily, up to about its size; it gets at
        least one group while there are groups. Of several shuffles, that whose shares of labels are nearest to those
        of the whole is taken.
    """
    by_group: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        by_group.setdefault(group, []).append(row)
    free, whole = list(by_group.values()), Counter(labels)
    held_out = {}
    for name, share in shares.items():
        wanted = round(share * len(groups))
        draws = [[free[i] for i in _shuffled(len(free), seed + (draw << 32))] for draw in range(DRAWS)]
        fills = [_fill(draw, wanted) for draw in draws]
        taken, free = min(fills, key=lambda fill: _imbalance(fill[0], labels, whole))
        held_out[name] = sorted(taken)
    return held_out


def _fill(groups: Sequence[list[int]], wanted: int) -> tuple[list[int], list[list[int]]]:
    """Rows of whole groups, about as many as wanted, and the groups that are left."""
    taken: list[int] = []
    left: list[list[int]] = []
    for rows in groups:
        if len(taken) + len(rows) <= wanted:
            taken += rows
        else:
            left.append(rows)
    smallest = min(left, key=len, default=[])
    overshoot = len(taken) + len(smallest) - wanted
    if smallest and wanted and (not taken or overshoot < wanted - len(taken)):
        taken += smallest
        left.remove(smallest)
    return taken, left


def _imbalance(rows: Sequence[int], labels: Sequence[Hashable], whole: Counter[Hashable]) -> float:
    """How far the labels of some rows are from those of all rows: the sum of the differences of their shares.

    Args: whole: how often each label occurs in all rows.
    """
    part = Counter(labels[row] for row in rows)
    return sum(abs(whole[label] / len(labels) - part[label] / max(len(rows), 1)) for label in whole)


def _shuffled(count: int, seed: int) -> list[int]:
    """The numbers below `count`, shuffled. Python keeps `random()` the same in all versions, but not `shuffle`."""
    generator = random.Random(seed)
    keys = [generator.random() for _ in range(count)]
    return sorted(range(count), key=keys.__getitem__)
