"""Soft labels: what another model gave for each row, as probabilities, logits or a score.

They stand in a column for each label, or in one column that holds a JSON object (or a list, in the order of
`task.labels`). A row may lack them. Every value is checked when it is read.
"""

import contextlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.data.examples import LARGEST_SCORE, short_repr
from pipeline.data.labels import MISSING, label_name
from pipeline.errors import nearest

ROUNDING = 1e-3  # how far probabilities of a row may be from a sum of 1
TOLERANCE = 0.05  # the same; up to here they are divided by their sum, and that is said
SMALLEST = 1e-5  # probability; a logit needs one above 0
PERCENT_OR_COMMA = re.compile(r"([+-]?\d{1,9}(?:[.,]\d+)?)\s*%|([+-]?\d{1,9},\d+)")

SoftForm = Literal["distribution", "independent", "score", "vectors"]
Values = Mapping[str, float] | Sequence[float]


@dataclass(frozen=True, kw_only=True)
class SoftColumns:
    """Where the soft labels of a row stand, and what they are."""

    columns: Mapping[str, str] | str  # label to column, or one column
    are_logits: bool
    form: SoftForm
    """Whether they are one distribution over the labels, a probability of each label on its own, a score, or a vector
    of each text, under the names of the texts' columns."""

    def names(self) -> list[str]:
        """The columns to ask a reader for."""
        return [self.columns] if isinstance(self.columns, str) else list(self.columns.values())

    def labels(self) -> tuple[str, ...]:
        """The labels that have a column of their own, in order."""
        return () if isinstance(self.columns, str) else tuple(self.columns)

    def read(self, row: Mapping[str, Any]) -> Values | None:
        """The values of a row by label, or in the order of the labels; None where it has none.

        Raises: ValueError with half a sentence.
        """
        if isinstance(self.columns, str):
            return self._of_one_column(row[self.columns], self.columns)
        if self.form == "vectors":
            return self._vectors(row)
        found = {label: self._number(row[column], column) for label, column in self.columns.items()}
        missing = [column for label, column in self.columns.items() if found[label] is None]
        if len(missing) == len(found):
            return None
        if missing:
            raise ValueError(f"column '{missing[0]}' has no value, and other soft labels of the row have one")
        return {label: number for label, number in found.items() if number is not None}

    def _vectors(self, row: Mapping[str, Any]) -> list[float] | None:
        """The vectors of a row's texts, each scaled to length 1, one after another."""
        vectors = [self._of_one_column(row[column], column) for column in self.names()]
        if all(vector is None for vector in vectors):
            return None
        numbers: list[list[float]] = [list(vector) if isinstance(vector, Sequence) else [] for vector in vectors]
        found: list[float] = []
        for vector, column in zip(numbers, self.names(), strict=True):
            length = math.sqrt(math.fsum(x * x for x in vector))
            if not length or len(vector) != len(numbers[0]):
                raise ValueError(
                    f"column '{column}' holds no vector like that of the row's other text, or one of zeros"
                )
            found += [x / length for x in vector]
        return found

    def _of_one_column(self, value: Any, column: str) -> Values | None:
        if self.form == "score":
            return None if (number := self._number(value, column)) is None else [number]
        found = value
        if isinstance(value, str) and value.strip():
            with contextlib.suppress(ValueError, RecursionError):
                found = json.loads(value)
        if _has_no_number(found):
            return None
        if not isinstance(found, dict | list):
            raise ValueError(
                f"column '{column}' holds {short_repr(value)}, not soft labels; write a JSON object such as {{\"yes\":"
                ' 0.9, "no": 0.1}, or a list in the order of task.labels'
            )
        names, items = [], found
        if isinstance(found, dict):
            names, items = list(found), list(found.values())
        elif all(isinstance(item, dict) and item.keys() == {"label", "score"} for item in found):
            names, items = [item["label"] for item in found], [item["score"] for item in found]
        numbers = [self._number(item, column) for item in items]
        known = [number for number in numbers if number is not None]
        if len(known) < len(numbers) or not known:
            raise ValueError(f"column '{column}' holds {short_repr(value)}, in which a value is missing")
        if not names:
            return known
        by_label = dict(zip(map(label_name, names), known, strict=True))
        if len(by_label) < len(known):
            raise ValueError(f"column '{column}' holds {short_repr(value)}, in which two keys are one label")
        return by_label

    def _number(self, value: Any, column: str) -> float | None:
        """A number in its range; None where it is missing."""
        if _has_no_number(value):
            return None
        try:
            number = math.inf if isinstance(value, bool) or "_" in str(value) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.inf
        if not math.isfinite(number):
            raise ValueError(f"column '{column}' holds {short_repr(value)}, not a finite number{_as_written(value)}")
        if abs(number) > LARGEST_SCORE:
            raise ValueError(
                f"column '{column}' holds {short_repr(value)}, and float32 ends at 3.4e38; divide all values"
            )
        if (
            not self.are_logits
            and self.form in ("distribution", "independent")
            and not -ROUNDING <= number <= 1 + ROUNDING
        ):
            percentages = "divide percentages by 100; " if 1 < number <= 100 else ""
            raise ValueError(
                f"column '{column}' holds {short_repr(value)}, not a probability; {percentages}for logits set"
                " task.soft_label_values: logits"
            )
        return number

    def as_logits(self, values: Values, label_names: Sequence[str]) -> tuple[tuple[float, ...], bool]:
        """Values in the order of the labels, as logits (of a distribution with a mean of 0); a score as it is.

        Returns: the logits, and whether probabilities had to be divided by their sum.
        Raises: ValueError with half a sentence.
        """
        if self.form in ("score", "vectors"):
            assert not isinstance(values, Mapping)
            return tuple(values), False
        numbers = _in_order(values, label_names)
        if self.are_logits:
            return tuple(numbers), False
        if self.form == "independent":
            clipped = (min(max(number, SMALLEST), 1 - SMALLEST) for number in numbers)
            return tuple(math.log(number / (1 - number)) for number in clipped), False
        total = math.fsum(numbers)
        if abs(total - 1) > TOLERANCE:
            raise ValueError(
                f"the soft labels sum to {total:.4g}, not to 1; divide them by their sum, set task.soft_label_values:"
                " logits, or set task.kind: multi_label where a text may have several labels"
            )
        logs = [math.log(max(number / total, SMALLEST)) for number in numbers]
        centre = math.fsum(logs) / len(logs)
        return tuple(log - centre for log in logs), abs(total - 1) > ROUNDING


def _has_no_number(value: Any) -> bool:
    """Whether a cell is empty, or holds what programs write where a number is missing."""
    if isinstance(value, str):
        return value.strip().lower() in ("", *MISSING)
    return value is None or value != value  # noqa: PLR0124 - only NaN differs from itself


def _as_written(value: Any) -> str:
    """How a percentage, or a number with a decimal comma, is written as an error says it; '' for anything else."""
    found = PERCENT_OR_COMMA.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        return ""
    number = float((found[1] or found[2]).replace(",", "."))
    return f"; write {number / 100 if found[1] else number:g}"


def _in_order(values: Values, label_names: Sequence[str]) -> list[float]:
    if isinstance(values, Mapping):
        if values.keys() != set(label_names):
            for name in values:
                if name not in label_names:
                    raise ValueError(f"the soft labels name the unknown label '{name}'{nearest(name, label_names)}")
            missing = next(name for name in label_names if name not in values)
            raise ValueError(f"the soft labels lack the label '{missing}'; write 0 where the teacher gave it nothing")
        return [values[name] for name in label_names]
    if len(values) != len(label_names):
        raise ValueError(
            f"the list holds {len(values)} soft labels, and the task has {len(label_names)} labels:"
            f" {', '.join(label_names)}"
        )
    return list(values)
