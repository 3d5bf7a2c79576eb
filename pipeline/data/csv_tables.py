"""Tables whose fields a sign separates: .csv and .tsv.

- CSV: a quoted field may hold the separator, doubled quotes and line ends (RFC 4180). The separator is the comma. If
  the header line, read with commas, lacks a wanted column, then semicolons, bars and tabs are tried in this order.
- TSV: quotes are ordinary characters, and a tab always separates two fields; unless the file was written as a CSV with
  tabs (`_has_csv_quotes`), and is read as such.
"""

import contextlib
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.data.rows import Row, check_header
from pipeline.data.text_files import read_lines
from pipeline.errors import UserError

SEPARATORS = ",;|\t"  # of .csv files, in the order in which they are tried
LONGEST_FIELD = 2**31 - 1  # characters; Python's csv stops at 128 KiB unless told

Fields = Iterator[tuple[int, list[str]]]


def read_csv(path: Path, *, columns: Sequence[str], header: Sequence[str], optional: Sequence[str]) -> Iterator[Row]:
    """The rows of a .csv, lazily. Args: header: the column names of a file that has no header line."""
    separator = _separator(path, columns, header)
    yield from _table(path, _csv_fields(path, separator), columns=columns, header=header, optional=optional)


def csv_columns(path: Path) -> list[str]:
    """The header line, parted by the first of comma, semicolon, bar and tab that gives it several columns."""
    for sign in SEPARATORS:
        with contextlib.suppress(UserError):  # reading with commas raises it again
            _, header = next(_csv_fields(path, sign), (0, []))
            if len(header) > 1:
                return header
    return next(_csv_fields(path, ","), (0, []))[1]


def tsv_columns(path: Path) -> list[str]:
    """The header line; empty where the file is."""
    return next((fields for _, fields in _tsv_fields(path)), [])


def _separator(path: Path, columns: Sequence[str], header: Sequence[str]) -> str:
    """The first of comma, semicolon, bar and tab that fits the first line; where none does, the comma.

    It fits where the line then has all wanted columns; or, where the header is given, as many fields as that.
    """
    for sign in SEPARATORS:
        with contextlib.suppress(UserError):  # reading with commas raises it again
            _, first = next(_csv_fields(path, sign), (0, []))
            if len(first) == len(header) if header else set(columns) <= set(first):
                return sign
    return ","


def _csv_fields(path: Path, separator: str) -> Fields:
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader((text for _, text in read_lines(path)), strict=True, delimiter=separator)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise UserError(
                f"{path}:{line}: the row that begins here is not valid CSV ({error}); put a field with a"
                ' separator, a quote or a line end in quotes, and double a quote inside it ("")'
            ) from None
        if fields is None:
            return
        if fields:
            yield line, fields


def read_tsv(
    path: Path,
    *,
    columns: Sequence[str],
    header: Sequence[str] = (),
    optional: Sequence[str] = (),
    malformed: list[int] | None = None,
) -> Iterator[Row]:
    """The rows of a tab-separated file of any name.

    Args:
        header: the column names of a file that has no header line.
        malformed: collects the lines of rows with too many or too few fields; without it such a row is an error.
    """
    return _table(
        path,
        _tsv_fields(path, named=bool(header)) if malformed is None else _parted_by_tabs(path),
        columns=columns,
        header=header,
        optional=optional,
        malformed=malformed,
    )


def _tsv_fields(path: Path, *, named: bool = False) -> Fields:
    yield from _csv_fields(path, "\t") if _has_csv_quotes(path, named) else _parted_by_tabs(path)


def _parted_by_tabs(path: Path) -> Fields:
    lines = ((line, text.removesuffix("\n").removesuffix("\r")) for line, text in read_lines(path))
    return ((line, text.split("\t")) for line, text in lines if text)


def _has_csv_quotes(path: Path, named: bool) -> bool:
    """Whether a .tsv was written as a .csv: inside quotes, quotes are doubled; or all of its header line is in quotes.

    Args: named: the recipe names the columns, so line 1 is no header.
    Raises: UserError where quotes elsewhere are characters of the text, so that no reading fits the whole file.
    """
    as_csv = as_text = 0  # the first line that shows it
    for number, (line, fields) in enumerate(_parted_by_tabs(path)):
        with_quotes = [field for field in fields if '"' in field]
        inside = [field[1:-1] for field in with_quotes if len(field) > 1 and field[0] == field[-1] == '"']
        inside = [text for text in inside if '"' not in text.replace('""', "")]
        if any('"' in text for text in inside) or (number == 0 and not named and len(inside) == len(fields)):
            as_csv = as_csv or line
        if len(inside) < len(with_quotes):
            as_text = as_text or line
    if as_csv and as_text and not _holds_separators(path):
        raise UserError(
            f"{path}:{as_csv}: a field is in quotes, as in a .csv, but the quotes in line {as_text} are characters of"
            " the text; name the file .csv, which may have tabs, and put the fields with quotes in quotes"
        )
    return bool(as_csv)


def _holds_separators(path: Path) -> bool:
    """Whether a .tsv, read as a .csv, has rows of one width, and a tab or a line end in a quoted field."""
    widths, found = set(), False
    with contextlib.suppress(UserError):
        for _, fields in _csv_fields(path, "\t"):
            widths.add(len(fields))
            found = found or any(sign in field for field in fields for sign in "\t\n")
        return found and len(widths) == 1
    return False


def _table(
    path: Path,
    table: Fields,
    *,
    columns: Sequence[str],
    header: Sequence[str],
    optional: Sequence[str],
    malformed: list[int] | None = None,
) -> Iterator[Row]:
    where = "task.header"
    if not header:
        line, header = next(table, (0, ()))
        where = f"{path}:{line}"
        if not header:
            raise UserError(f"{path}: is empty; its first line names the columns, {', '.join(columns)} among them")
    check_header(where, header, columns)
    index = {column: header.index(column) for column in (*columns, *optional) if column in header}
    absent = dict.fromkeys(column for column in optional if column not in header)
    for line, fields in table:
        if len(fields) == len(header):
            yield Row(line, {column: fields[position] for column, position in index.items()} | absent)
        elif malformed is not None:
            malformed.append(line)
        else:
            raise UserError(
                f"{path}:{line}: {len(fields)} fields where the table has {len(header)} columns"
                + ("; a file with fields in quotes is named .csv" if any(one[:1] == '"' for one in fields) else "")
            )
