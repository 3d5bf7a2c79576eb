"""Names of labels: two writings of one label are one, or an error with both places."""

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
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)
SEPARATORS = "|;,/+&"
RARE_IN_NAMES = "|;"
SEVERAL = (  # what to do where a row has several labels
    "set task.kind: multi_label and task.label_separator, or list all that you mean as one label in task.labels"
)


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


def check_writings(splits: Mapping[str, Sequence["Example"]], known: Sequence[str]) -> None:
    """The labels of all rows differ in more than how they are written, and each is one label of a class.

    Args: known: the labels that the recipe names, which are taken as they are.
    Raises: UserError, with the places.
    """
    first: dict[str, Example] = {}
    for examples in splits.values():
        for example in examples:
            if example.label is not None:
                first.setdefault(example.label, example)
    found = [label for label in first if label not in known]
    if joined := _joined(found):
        raise UserError(f"{first[joined].location}: '{joined}' is several labels in one; {SEVERAL}")
    alike: dict[Any, str] = {}
    for label in found:
        other = alike.setdefault(_essence(label), label)
        if other != label:
            raise UserError(
                f"{first[label].location}: the label {label!a} is written differently, {other!a}, in"
                f" {first[other].location}; write both alike"
            )
    if not known and found and all(map(NUMBER.fullmatch, found)):
        fractions = [label for label in found if not label.lstrip("+-").isdecimal()]
        if fractions:
            raise UserError(
                f"{first[fractions[0]].location}: the labels are numbers such as {fractions[0]}; set task.kind:"
                " regression, or list them in task.labels"
            )


def _joined(labels: Sequence[str]) -> str | None:
    """A label that others are joined in, such as 'anger|fear'."""
    for separator in SEPARATORS:
        parts = {label: [part.strip() for part in label.split(separator)] for label in labels if separator in label}
        for label, of_label in parts.items():
            if set(of_label) <= set(labels):
                return label
        different = {part for label in labels for part in parts.get(label, [label])}
        if separator in RARE_IN_NAMES and parts and len(different) < len(labels):
            return next(iter(parts))
    return None


def _essence(label: str) -> Any:
    """What two writings of a label share."""
    if NUMBER.fullmatch(label):
        number = label.replace(",", ".")
        with contextlib.suppress(ValueError, OverflowError):
            return float(number) if len(number) < 15 else number.lstrip("+0")
    return " ".join("".join(one for one in label if not _is_invisible(one) or one.isspace()).split())


def _is_invisible(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in ("Cf", "Cc")
