"""What must hold between the rows of a task: repeats, which labels there are, groups that keep to one split."""

import re
from collections.abc import Mapping, MutableMapping, Sequence

from pipeline.errors import UserError, nearest
from pipeline.examples import Example

Splits = Mapping[str, Sequence[Example]]


def without_repeats(splits: Splits, left_out: MutableMapping[str, int]) -> dict[str, list[Example]]:
    """The first row of each text or pair, over all splits in their order; the others are counted as 'repeated'."""
    seen: set[tuple[str, ...]] = set()
    kept: dict[str, list[Example]] = {}
    for split, examples in splits.items():
        kept[split] = []
        for example in examples:
            if example.texts in seen:
                left_out["repeated"] += 1
            else:
                seen.add(example.texts)
                kept[split].append(example)
    return kept


def find_label_names(train: Sequence[Example], known: tuple[str, ...]) -> tuple[str, ...]:
    """The labels of the training rows, sorted (numbers by size, before words), unless their names are known.

    Raises: UserError where all rows have one label, or one score.
    """
    found = {example.label for example in train}
    if len(found) == 1:
        raise UserError(
            f"{train[0].place}: all training rows have the label '{train[0].label}'; a task needs at least two"
        )
    return known or tuple(sorted((str(label) for label in found), key=_numbers_first))


def check_labels(splits: Splits, label_names: tuple[str, ...]) -> None:
    """Raises: UserError for a label that is unknown, or that occurs in dev or test and not in the training rows."""
    trained = {example.label for example in splits["train"]}
    for examples in splits.values():
        for example in examples:
            if example.label is None:
                continue
            if example.label not in label_names:
                raise UserError(
                    f"{example.place}: unknown label '{example.label}'{nearest(str(example.label), label_names)}"
                )
            if example.label not in trained:
                raise UserError(
                    f"{example.place}: no training row has the label '{example.label}'; add some, or list it in"
                    " task.drop_labels"
                )


def check_groups(splits: Splits, column: str) -> None:
    """Raises: UserError for a group that has rows in two splits: files that the user split must keep to it too."""
    home: dict[str, str] = {}
    for split, examples in splits.items():
        for example in examples:
            if example.group is not None and home.setdefault(example.group, split) != split:
                raise UserError(
                    f"{example.place}: {column} '{example.group}' is in {split} and in {home[example.group]}, and"
                    " task.group keeps each value in one split; move its rows, or leave task.group out"
                )


def _numbers_first(label: str) -> tuple[bool, float, str]:
    number = re.fullmatch(r"[+-]?\d+(\.\d+)?", label, re.ASCII)
    return (number is None, float(label) if number else 0.0, label)
