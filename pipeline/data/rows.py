"""A row of a user's table, how errors name it, and the checks of its columns."""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import UserError, nearest


class Row(NamedTuple):
    """The wanted columns of one row."""

    line: int  # on which the row begins, from 1; in .parquet, and in .json that is one list, the number of the row
    values: dict[str, Any]  # column name to raw value: text in .csv and .tsv, else whatever the file holds


def location(path: Path, line: int) -> str:
    """A row as errors name it: `reviews.csv:7`, or `reviews.parquet, row 7`."""
    return f"{path}, row {line}" if path.suffix.lower() == ".parquet" else f"{path}:{line}"


def check_header(where: str, header: Sequence[str], columns: Sequence[str]) -> None:
    """Raises UserError for a name that stands twice, and for a wanted column that is missing."""
    counts = Counter(header)
    if repeated := [name for name, count in counts.items() if name and count > 1]:
        raise UserError(f"{where}: two columns are named '{repeated[0]}'; rename one")
    check_wanted(where, set(header), columns)


def check_wanted(where: str, names: Collection[str], columns: Sequence[str]) -> None:
    """Raises UserError for a wanted column that is missing. Args: names: a set, or a row by name."""
    for column in columns:
        if column not in names:
            raise UserError(f"{where}: no column '{column}'{nearest(column, names)}")
