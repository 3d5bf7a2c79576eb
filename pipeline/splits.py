"""Which of the training rows are held out as dev and test.

Pure functions of the number and order of the rows, their labels or groups, and a seed: never of the text, the process,
or PYTHONHASHSEED. The splits are drawn in the order of `shares`: name test first, and dev's share does not move it.
"""

import random
from collections.abc import Hashable, Mapping, Sequence


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


def split_by_group(groups: Sequence[Hashable], *, shares: Mapping[str, float], seed: int) -> dict[str, list[int]]:
    """Held-out splits of whole groups: no group has rows in two splits.

    Args:
        groups: one a row, such as the film of a review.
        shares: name of the split to its share of all rows.

    Returns: name to row numbers, ascending; as near to the asked sizes as a greedy fill over shuffled groups comes, and
        at least one group each while there are groups.
    """
    by_group: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        by_group.setdefault(group, []).append(row)
    every = list(by_group.values())
    free = [every[i] for i in _shuffled(len(every), seed)]
    held_out = {}
    for name, share in shares.items():
        wanted = round(share * len(groups))
        taken, left = [], []
        for rows in free:
            if len(taken) + len(rows) <= wanted:
                taken += rows
            else:
                left.append(rows)
        smallest = min(left, key=len, default=[])
        overshoot = len(taken) + len(smallest) - wanted
        if smallest and wanted and (not taken or overshoot < wanted - len(taken)):
            taken += smallest
            left.remove(smallest)
        held_out[name] = sorted(taken)
        free = left
    return held_out


def _shuffled(count: int, seed: int) -> list[int]:
    """The numbers below `count` in an order that every Python gives: it promises `random()` to stay, not `shuffle`."""
    generator = random.Random(seed)
    keys = [generator.random() for _ in range(count)]
    return sorted(range(count), key=keys.__getitem__)
