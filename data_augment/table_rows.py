"""The rows of a table for the command line: their texts checked, and the types of what they carry along."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_augment.variants import Row
from pipeline.data.rows import location
from pipeline.data.tables import read_rows
from pipeline.errors import UserError

if TYPE_CHECKING:
    from datasets import Features


@dataclass(frozen=True)
class TableRows:
    """The rows of a table, read anew each time that they are asked for."""

    path: Path
    columns: Sequence[str]
    texts: Sequence[str]
    typed: Collection[str] = ()  # columns whose values are kept as they are; those of others become text

    def __iter__(self) -> Iterator[Row]:
        if not self.path.is_file():
            raise UserError(f"{self.path}: {'a folder; name a table in it' if self.path.is_dir() else 'no such file'}")
        for row in read_rows(self.path, columns=self.columns):
            for column in self.texts:
                if not isinstance(row.values[column], str) or not row.values[column].strip():
                    raise UserError(f"{location(self.path, row.line)}: column {column!r} has no text; write one")
            yield {
                name: value if name in self.texts or name in self.typed or value is None else str(value)
                for name, value in row.values.items()
            }


def with_types(rows: TableRows) -> "tuple[TableRows, Features]":
    """The rows with numbers, and lists of numbers or texts, kept as such; and the features of all columns.

    What a .csv or .tsv holds is text.
    """
    from datasets import Features, Value  # noqa: PLC0415 (`show` does without)

    names = [name for name in rows.columns if name not in rows.texts]
    rows = replace(rows, typed=names)
    values: dict[str, list[Any]] = {name: [] for name in names}
    for row in rows if names else ():
        for name in list(values):
            values[name].append(row[name])
            if isinstance(row[name], str):
                del values[name]
    kept = {name: feature for name in values if (feature := _feature(values[name]))}
    features = Features({name: kept.get(name, Value("string")) for name in rows.columns})
    return replace(rows, typed=list(kept)), features


def _feature(values: Sequence[Any]) -> Any:
    """The feature of numbers, or of lists of numbers or of texts; None for other values."""
    import pyarrow as pa  # noqa: PLC0415 (`propose` does without)
    from datasets import List, Value  # noqa: PLC0415

    try:
        found = pa.infer_type(values)
    except (pa.ArrowException, OverflowError, TypeError):  # of several types
        return None
    known = {pa.int64(): "int64", pa.float64(): "float64"}
    if pa.types.is_list(found):
        known[pa.string()] = "string"
        return List(Value(known[found.value_type])) if found.value_type in known else None
    return Value(known[found]) if found in known else None
