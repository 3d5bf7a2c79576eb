"""Names of labels: two spellings of one label are one, or an error with both places."""

import contextlib
import math
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.data.examples import Example

HIDDEN = "-1"  # what the test files of benchmarks hold where a label is kept secret
IS_HIDDEN = f"{HIDDEN} stands for a label that is kept secret; give a file with labels, or move it to task.unlabelled"
WHOLE = re.compile(r"([+-]?\d+)\.0+", re.ASCII)
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")  # digits of any script
TRUTH = {"true": 1.0, "false": 0.0}  # Python writes True, JSON true, pandas 1.0 in a column where some are missing
MISSING = ("nan", "na", "n/a", "none", "null")  # what programs write into a column of numbers where one is missing
SEPARATORS = "|;,/+&#\t 、，；｜"
RARE_IN_NAMES = "|;；｜"
# Invisible characters whose category does not say so: Default_Ignorable_Code_Point of Unicode, and Braille's blank.
INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
SEVERAL = "list all that you mean as one label in task.labels"  # else, where a label is several in one


def label_name(value: Any) -> str:
    """A raw label or group as text, in NFC; empty where it is missing.

    Blanks and invisible characters around it are no part of it. A whole number is written without a fraction: pandas
    writes 1.0 for 1 in a column where some are missing.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    text = unicodedata.normalize("NFC", str(value))
    while text and (_is_invisible(text[0]) or _is_invisible(text[-1])):
        text = text[1:] if _is_invisible(text[0]) else text[:-1]
    whole = WHOLE.fullmatch(text)
    return sys.intern(whole[1] if whole else text)


def labels_of(example: "Example", *, several: bool) -> tuple[str, ...]:
    """A row's labels, which may be none. Args: several: whether a row has a tuple of labels."""
    if several:
        return example.label or ()
    return () if example.label is None else (example.label,)


def check_spellings(splits: Mapping[str, Sequence["Example"]], known: Sequence[str], *, several: bool = False) -> None:
    """The labels of all rows differ in more than how they are written, and each is one label.

    Args:
        known: the labels that the recipe names, which are taken as they are.
        several: whether a row has a tuple of labels.
    Raises: UserError, with the places.
    """
    first: dict[str, Example] = {}
    for examples in splits.values():
        for example in examples:
            for label in labels_of(example, several=several):
                first.setdefault(label, example)
    found = [label for label in first if label not in known]
    if joined := _joined(found):
        setting = "task.label_separator" if several else "task.kind: multi_label and task.label_separator"
        raise UserError(f"{first[joined].location}: '{joined}' is several labels in one; set {setting}, or {SEVERAL}")
    if alike := two_spellings(found):
        other, label = alike
        raise UserError(
            f"{first[label].location}: the label {label!a} and {other!a} in {first[other].location} look like one"
            " label in two spellings; use one of them"
        )
    if known or several:
        return
    numbers = {label: unicodedata.normalize("NFKC", label) for label in found if label.lower() not in MISSING}
    if numbers and all(map(NUMBER.fullmatch, numbers.values())):
        fractions = [label for label, number in numbers.items() if not number.lstrip("+-").isdecimal()]
        if fractions:
            raise UserError(
                f"{first[fractions[0]].location}: the labels are numbers such as {fractions[0]}; set task.kind:"
                " regression, or list them in task.labels"
            )


def two_spellings(names: Sequence[str]) -> tuple[str, str] | None:
    """The first two names that are one: equal as numbers, or but for invisible characters or the form of others."""
    alike: dict[Any, str] = {}
    for name in names:
        other = alike.setdefault(_essence(name), name)
        if other != name:
            return other, name
    return None


def _joined(labels: Sequence[str]) -> str | None:
    """A label that others are joined in, such as 'anger|fear'."""
    alone = set(labels)
    for separator in SEPARATORS:
        parts = {label: [part.strip() for part in label.split(separator)] for label in labels if separator in label}
        for label, of_label in parts.items():
            if alone.issuperset(of_label):
                return label
        if separator not in RARE_IN_NAMES or not parts:
            continue
        every = [parts.get(label, [label]) for label in labels]
        different = {part for of_label in every for part in of_label}
        # In names such as 'sport|tennis' a part keeps its place; in lists of labels it stands first and later.
        moved = {of_label[0] for of_label in every} & {part for of_label in every for part in of_label[1:]}
        if moved or len(different) < len(labels):
            return next(iter(parts))
    return None


def _essence(label: str) -> Any:
    """What two spellings of a label share."""
    label = unicodedata.normalize("NFKC", label).replace("\u2212", "-")
    if label.lower() in TRUTH:
        return TRUTH[label.lower()]
    if NUMBER.fullmatch(label):
        number = label.replace(",", ".")
        with contextlib.suppress(ValueError, OverflowError):
            return float(number) if len(number) < 15 else number.lstrip("+0")
    visible = (one for one in INVISIBLE.sub("", label) if one.isspace() or not _is_invisible(one))
    return " ".join("".join(visible).split())


def _is_invisible(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in ("Cf", "Cc")
