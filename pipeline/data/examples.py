"""From a row of a table to an example of the task, every value checked.

Errors name the file and the line. A value that a later stage cannot use is refused here.
"""

import ast
import contextlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.data.labels import label_name
from pipeline.data.parquet import label_names, named, read_schema
from pipeline.data.rows import Row, location
from pipeline.data.tables import read_rows
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.data.soft_labels import SoftColumns

LARGEST_SCORE = 3.4028235e38  # what float32, in which scores are kept, can hold
LONGEST_REPR = 40  # characters of a wrong value that an error repeats
ITEM = r"""('([^'\\]|\\.)*'|"([^"\\]|\\.)*"|-?\d+)"""
EMPTY_LISTS = ("[]", "()", "set()")  # of labels, as texts
NUMPY_LIST = re.compile(rf"\[\s*{ITEM}(\s+({ITEM}|\.\.\.))+\s*\]", re.DOTALL)  # without commas


class Example(NamedTuple):
    """One text or pair of texts, its label, and the row of the file that it comes from."""

    texts: tuple[str, ...]
    label: Any  # of a type of the kind of task's own (a name, a score); None for an unlabelled row
    group: str | None
    path: Path
    line: int
    soft: Any = None
    """Soft labels: as the row has them (`SoftColumns.read`), after `read_task` logits, float64, in the order of
    the labels."""

    @property
    def location(self) -> str:
        """The file and line, as errors name them."""
        return location(self.path, self.line)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What is read from every row, and which rows are left out."""

    texts: tuple[str, ...]
    label: str  # empty for unlabelled rows
    has_names: bool = False  # whether labels have names, so that those which a file notes for its numbers count
    group: str | None
    answer: "Callable[[Any, Columns], Any]"  # the kind of task's own; parses a raw value of the label's column
    known_labels: tuple[str, ...] = ()  # those that the recipe names, in order
    label_separator: str | None = None  # between several labels of one text
    label_columns: tuple[str, ...] = ()  # in place of `label`: a column of 0 and 1 for each label
    soft: "SoftColumns | None" = None  # with them a row need not have a label
    header: tuple[str, ...] = ()  # names of the columns of files without a header line
    drop_labels: frozenset[str]  # rows with these labels are left out, and their other columns are not checked
    skip_lost_answers: bool = False  # whether questions whose context does not hold the answer are left out
    pair_or_single: bool = False  # whether the second text of a pair may be empty
    skip_empty: bool  # whether rows without text are left out; else they are errors

    def names(self) -> list[str]:
        """The columns to ask a reader for."""
        return [*self.texts, *([] if self.soft else self.labels()), *([self.group] if self.group else [])]

    def labels(self) -> tuple[str, ...]:
        """The columns of labels."""
        return self.label_columns or ((self.label,) if self.label else ())

    def optional(self) -> list[str]:
        """The columns that a file, or a row, may lack."""
        return [*self.labels(), *self.soft.names()] if self.soft else []

    def has_label(self, values: Mapping[str, Any]) -> bool:
        """Whether a row says anything of its label: where it has soft labels it need not.

        With a separator between labels an empty text says that there is none.
        """
        if self.label_separator and isinstance(values.get(self.label), str):
            return True
        return any(not _is_missing(values[column]) for column in self.labels())

    def without_labels(self) -> "Columns":
        """The same for unlabelled rows."""
        return replace(self, label="", label_columns=(), group=None)

    def raw_label(self, values: Mapping[str, Any]) -> Any:
        """What a row says of its label; where each label has a column, their values by name."""
        if self.label_columns:
            return {column: values[column] for column in self.label_columns}
        return values[self.label]


def read_table(path: Path, columns: Columns, left_out: MutableMapping[str, int]) -> Iterator[Example]:
    """The examples of a table of the user's, checked (`read_examples`)."""
    rows = read_rows(path, columns=columns.names(), header=columns.header, optional=columns.optional())
    if names := _noted_names(path, columns):
        label = columns.label
        rows = (Row(line, {**values, label: named(values[label], names)}) for line, values in rows)
    return read_examples(rows, path=path, columns=columns, left_out=left_out)


def _noted_names(path: Path, columns: Columns) -> tuple[str, ...]:
    """What a Parquet file of `datasets` says that its label numbers mean; () where the recipe has other names."""
    if not (columns.has_names and columns.label and path.suffix.lower() == ".parquet"):
        return ()
    names = label_names(read_schema(path), columns.label)
    known = set(columns.known_labels)
    return () if known and not known & set(map(label_name, names)) else names


def read_examples(
    rows: Iterable[Row], *, path: Path, columns: Columns, left_out: MutableMapping[str, int]
) -> Iterator[Example]:
    """Check and convert the rows of a file; `left_out` counts those left out, under 'dropped' and 'empty'.

    Raises: UserError, with file and line, for a value that is not what its column must hold.
    """
    for line, values in rows:
        if columns.drop_labels and columns.label and _is_dropped(values[columns.label], columns):
            left_out["dropped"] += 1
            continue
        try:
            texts = parse_texts([values[column] for column in columns.texts], columns)
            if texts is None:
                left_out["empty"] += 1
                continue
            soft = columns.soft.read(values) if columns.soft else None
            labelled = columns.label and (soft is None or columns.has_label(values))
            if labelled and columns.soft and all(values[column] is None for column in columns.labels()):
                raise ValueError(
                    f"neither soft labels ({', '.join(columns.soft.names())}) nor a label; write one, or move the row"
                    " to a file of task.unlabelled"
                )
            label = columns.answer(columns.raw_label(values), columns) if labelled else None
            group = parse_group(values[columns.group], columns.group) if columns.group else None
        except ValueError as error:
            raise UserError(f"{location(path, line)}: {error}") from None
        yield Example(texts, label, group, path, line, soft)


def parse_texts(values: Sequence[Any], columns: Columns) -> tuple[str, ...] | None:
    """A row's texts; None where one is empty and such rows are skipped."""
    texts = tuple(map(_parse_text, values, columns.texts))
    if "" not in texts or (columns.pair_or_single and texts[0] and len(texts) == 2):
        return texts
    if columns.skip_empty:
        return None
    column = columns.texts[texts.index("")]
    single = ", or task.pair_or_single: true" if texts[0] else ""
    raise ValueError(f"column '{column}' has no text; write one, or set task.skip_empty: true{single}")


def _parse_text(value: Any, column: str) -> str:
    """The text; empty where it is missing or blank. pandas writes NaN for a missing text."""
    if value is None or value != value:  # noqa: PLR0124 - only NaN differs from itself
        return ""
    if isinstance(value, list) and len(value) > 1:
        shown = short_repr(value)
        raise ValueError(
            f"column '{column}' holds {shown}, not text; a table by columns is written row by row with orient='records'"
            ", and words with tags need task.kind: token_classification"
        )
    if not isinstance(value, str):
        raise ValueError(f"column '{column}' holds {short_repr(value)}, not text")
    return value if value.strip() else ""


def parse_label(value: Any, columns: Columns) -> str:
    """The name of a label. A list of one label is that label."""
    if isinstance(value, str) and value not in columns.known_labels:
        value = [] if value.strip() in EMPTY_LISTS else labels_in_text(value, columns.label) or value
    if isinstance(value, list):
        value = _only_label(value, columns)
    name, column = label_name(value), columns.label
    if not name:
        raise ValueError(f"column '{column}' has no label; write one, or move the row to a file of task.unlabelled")
    if not isinstance(value, str | int) and not name.lstrip("-").isdecimal() and name not in columns.known_labels:
        raise ValueError(
            f"column '{column}' holds {short_repr(value)}, not a label; for numbers set task.kind: regression, or list"
            " them in task.labels"
        )
    return name


def _only_label(labels: list[Any], columns: Columns) -> Any:
    if len(labels) == 1 and not isinstance(labels[0], list):
        return labels[0]
    raise ValueError(
        f"column '{columns.label}' holds {len(labels)} labels, {short_repr(labels)}; with several labels a text, or"
        " none, set task.kind: multi_label"
    )


def _is_dropped(value: Any, columns: Columns) -> bool:
    """Whether a row is left out for its label, which may be alone in a list."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):  # raised where the label is read
            value = labels_in_text(value, columns.label) or value
    alone = value[0] if isinstance(value, list) and len(value) == 1 else value
    return label_name(alone) in columns.drop_labels


def parse_score(value: Any, columns: Columns) -> float:
    """A finite number."""
    column = columns.label
    try:
        score = math.nan if isinstance(value, bool) or "_" in str(value) else float(value)
    except (TypeError, ValueError, OverflowError):
        score = math.nan
    if not math.isfinite(score):
        raise ValueError(f"column '{column}' holds {short_repr(value)}, not a finite number")
    if abs(score) > LARGEST_SCORE:
        raise ValueError(f"column '{column}' holds {short_repr(value)}, and float32 ends at 3.4e38; divide all scores")
    return score


def parse_group(value: Any, column: str) -> str:
    """The group that a row belongs to."""
    name = label_name(value)
    if not name or isinstance(value, list | dict):
        raise ValueError(f"column '{column}' holds {short_repr(value)}, but with task.group every row needs a group")
    return name


def list_in_text(text: str) -> list[Any]:
    """The list that a text holds as JSON or Python, as pandas writes it to CSV; empty where it holds none."""
    text = text.strip()
    for parse in (json.loads, ast.literal_eval) if text.startswith("[") else ():
        with contextlib.suppress(ValueError, SyntaxError, RecursionError):
            if isinstance(found := parse(text), list):
                return found
    return []


def labels_in_text(text: str, column: str) -> list[Any]:
    """The labels that a text holds as a list, or as Python writes a tuple or a set; empty where it is one label.

    Raises: ValueError with half a sentence.
    """
    refuse_numpy_list(text, column, "labels")
    found: Any = list_in_text(text)
    if text.strip().startswith(("(", "{")):
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, TypeError):
            found = ast.literal_eval(text.strip())
    if isinstance(found, dict):
        raise ValueError(
            f"column '{column}' holds {short_repr(text)}, not a label; for what a teacher gave each label set"
            " task.soft_labels"
        )
    return sorted(found, key=str) if isinstance(found, set) else list(found) if isinstance(found, tuple | list) else []


def refuse_numpy_list(text: str, column: str, what: str) -> None:
    """Raises: ValueError for a list as numpy prints it, which reads as something else."""
    if NUMPY_LIST.fullmatch(text.strip()):
        raise ValueError(
            f"column '{column}' holds {short_repr(text)}, {what} as numpy prints them; separate the items by commas, as"
            " JSON does"
        )


def _is_missing(value: Any) -> bool:
    blank = isinstance(value, str) and not value.strip()
    return value is None or blank or (isinstance(value, float) and math.isnan(value))


def short_repr(value: Any) -> str:
    """A wrong value as an error repeats it."""
    text = "null" if value is None else repr(value)
    return text if len(text) <= LONGEST_REPR else f"{text[:LONGEST_REPR]}..."
