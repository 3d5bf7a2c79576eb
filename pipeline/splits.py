"""Which of the training rows are held out as dev and test.

Pure functions of the number and order of the rows, their labels or groups, and a seed: never of the text, the process,
or PYTHONHASHSEED. The splits are drawn in the order of `shares`: name test first, and dev's share does not move it.
"""

import random
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

DRAWS = 20  # shuffles of the groups that are tried


def split_by_label(labels: Sequence[Hashable], *, shares: Mapping[str, float], seed: int) -> dict[str, list[int]]:
    """Held-out splits with the mixture of labels of the whole (give one label to all rows for a plain draw).

    Args:
        labels: one a row.
        shares: name of the split to its share of all rows.

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
        # Evenly spaced over rows that lie label by label: each label gives its share, give or take one row.
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
        labels: one a row (the same for all rows: no mixture to keep).
        shares: name of the split to its share of all rows.

    Returns: name to row numbers, ascending; as near to the asked sizes as a greedy fill over shuffled groups comes, and
        at least one group each while there are groups. Of a few shuffles the one whose mixture of labels is nearest to
        that of the whole is taken.
    """
    by_group: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        by_group.setdefault(group, []).append(row)
    free = list(by_group.values())
    held_out = {}
    for name, share in shares.items():
        wanted = round(share * len(groups))
        draws = [[free[i] for i in _shuffled(len(free), seed + (draw << 32))] for draw in range(DRAWS)]
        fills = [_fill(draw, wanted) for draw in draws]
        taken, free = min(fills, key=lambda fill: _imbalance(fill[0], labels))
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


def _imbalance(rows: Sequence[int], labels: Sequence[Hashable]) -> float:
    """How far the mixture of labels of some rows is from that of all: the sum of the gaps of their shares."""
    whole, part = Counter(labels), Counter(labels[row] for row in rows)
    return sum(abs(whole[label] / len(labels) - part[label] / max(len(rows), 1)) for label in whole)


def _shuffled(count: int, seed: int) -> list[int]:
    """The numbers below `count` in an order that every Python gives: it promises `random()` to stay, not `shuffle`."""
    generator = random.Random(seed)
    keys = [generator.random() for _ in range(count)]
    return sorted(range(count), key=keys.__getitem__)
