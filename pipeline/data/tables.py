"""The user's tables, read row by row: .csv, .tsv, .jsonl, .json (also compressed, see `text_files`) and .parquet.

A row that does not fit is an error with its file and line; nothing is repaired. `NA` is text. Empty lines are skipped;
lines end in LF or CRLF.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.data import csv_tables, json_tables, parquet
from pipeline.data.rows import Row, check_header
from pipeline.data.text_files import format_suffix
from pipeline.errors import UserError, require


def read_rows(
    path: Path, *, columns: Sequence[str], header: Sequence[str] = (), optional: Sequence[str] = ()
) -> Iterator[Row]:
    """The rows of a table, lazily.

    Args:
        header: the column names of a .csv or .tsv file that has no header line.
        optional: further columns, None where a file, or a row of .jsonl, lacks them.
    Raises: UserError for an unknown suffix, at once; while reading, with file and line, for a file that cannot be read,
        a missing column, a column named twice, a row with too many or too few fields, invalid UTF-8 or JSON.
    """
    match format_suffix(path):
        case ".csv":
            return csv_tables.read_csv(path, columns=columns, header=header, optional=optional)
        case ".tsv":
            return csv_tables.read_tsv(path, columns=columns, header=header, optional=optional)
        case ".jsonl":
            return json_tables.read_jsonl(path, columns, optional)
        case ".json":
            return json_tables.read_json_rows(path, columns, optional)
        case ".parquet" if path.suffix.lower() == ".parquet":
            return _read_parquet(path, columns, optional)
    raise UserError(
        f"{path}: unknown kind of table; the file name ends in .csv, .tsv, .jsonl, .json (with .gz, .bz2, .xz or .zip"
        " after it if compressed) or .parquet"
    )


def column_names(path: Path) -> tuple[str, ...]:
    """The names of a table's columns; of .jsonl and .json the keys of its first row.

    A .csv is parted by the first of comma, semicolon, bar and tab that gives its header line several columns.
    Raises: UserError for a file that cannot be read, or has no such line or row.
    """
    match format_suffix(path):
        case ".csv":
            names = csv_tables.csv_columns(path)
        case ".tsv":
            names = csv_tables.tsv_columns(path)
        case ".parquet":
            names = parquet.read_schema(path).names
        case ".json":
            names = json_tables.json_columns(path)
        case _:
            names = json_tables.jsonl_columns(path)
    require(len(names) > 1, f"{path}: no row that names several columns; the first line of a .csv or .tsv names them")
    return tuple(names)


def _read_parquet(path: Path, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Row]:
    names = parquet.read_schema(path).names
    check_header(str(path), names, columns)
    present = [*columns, *(column for column in optional if column in names)]
    absent = dict.fromkeys(column for column in optional if column not in names)
    for number, values in parquet.read_rows(path, columns=present):
        yield Row(number, values | absent)
