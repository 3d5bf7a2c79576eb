"""Parquet files: their rows, row groups, types of columns, and names of labels.

pyarrow is imported when the first file is opened: it takes a good part of a second, which a plan without Parquet files
does not spend. For the same reason types are compared by their names.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

BATCH_ROWS = 1024  # held in memory at once; a row may be a long document


@contextmanager
def open_parquet(path: Path) -> "Iterator[ParquetFile]":
    """An open file. Raises UserError where it, or what is read of it inside the `with`, is damaged."""
    from pyarrow import ArrowException, parquet  # noqa: PLC0415 - see above

    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except (ArrowException, ValueError, OSError) as error:  # ValueError: a name in it is not UTF-8
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path}: not a readable Parquet file ({reason})") from None


def read_schema(path: Path) -> "pa.Schema":
    """Names, types and metadata of the columns."""
    with open_parquet(path) as file:
        return file.schema_arrow


def row_group_bytes(path: Path) -> list[int]:
    """The size of each row group, uncompressed."""
    with open_parquet(path) as file:
        return [file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups)]


def read_rows(
    path: Path, *, columns: Sequence[str], row_groups: range | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with their numbers in the file, from 1. Args: row_groups: those to read; None: all."""
    with open_parquet(path) as file:
        groups = range(file.num_row_groups) if row_groups is None else row_groups
        number = sum(file.metadata.row_group(group).num_rows for group in range(groups.start))
        for batch in file.iter_batches(BATCH_ROWS, row_groups=list(groups), columns=list(columns)):
            values = [batch.column(column).to_pylist() for column in columns]
            for row in zip(*values, strict=True):
                number += 1
                yield number, dict(zip(columns, row, strict=True))


def field_values(path: Path, column: str, field: str) -> set[Any]:
    """The values of a field, in a column of lists of named fields; None among them where it, or an item, is missing."""
    found: set[Any] = set()
    with open_parquet(path) as file:
        for batch in file.iter_batches(BATCH_ROWS, columns=[column]):
            items = batch.column(column).flatten()
            values = items.flatten()[items.type.get_field_index(field)]  # `items.field(field)` forgets missing items
            found.update(values.unique().to_pylist())
    return found


def label_names(schema: "pa.Schema", column: str) -> tuple[str, ...]:
    """The names of a column of label numbers, or of lists of them, as `datasets` notes them in the file; else ()."""
    noted = b"huggingface" in (schema.metadata or {})
    if not noted or schema.names.count(column) != 1 or is_text(item_type(schema.field(column).type)):
        return ()
    from datasets import ClassLabel, Features  # noqa: PLC0415 - takes more than a second

    try:
        feature = Features.from_arrow_schema(schema)[column]
    except (ValueError, TypeError, KeyError, AttributeError):  # damaged, or with features that `datasets` does not know
        return ()
    item = getattr(feature, "feature", feature)
    return tuple(item.names) if isinstance(item, ClassLabel) else ()


def named(value: Any, names: Sequence[str]) -> Any:
    """The name of a label's number, or the names of several; what is no number of a label stays."""
    if isinstance(value, list):
        return [named(number, names) for number in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value


def item_type(column: "pa.DataType") -> "pa.DataType":
    """The type of the items of a list; of what is no list, its own."""
    return column.value_type if is_list(column) else column


def _is_named(pattern: str, column: "pa.DataType") -> bool:
    return re.fullmatch(pattern, str(column), re.DOTALL) is not None


# Whether a type is that of texts, whole numbers, numbers, lists, or named fields.
is_text = partial(_is_named, r"(large_)?string")
is_integer = partial(_is_named, r"u?int\d+")
is_number = partial(_is_named, r"u?int\d+|halffloat|float|double")
is_list = partial(_is_named, r"(large_)?list<.*")
is_struct = partial(_is_named, r"struct<.*")
