"""The user's tables, read row by row: .csv, .tsv, .jsonl, .json (also compressed, see `text_files`) and .parquet.

A row that does not fit is an error with its file and line; nothing is repaired. `NA` is text. Empty lines are skipped;
lines end in LF or CRLF.

- CSV: a quoted field may hold the separator, doubled quotes and line ends (RFC 4180). The separator is the comma. If
  the header line, read with commas, lacks a wanted column, then semicolons, bars and tabs are tried in this order.
- TSV: quotes are ordinary characters, and a tab always separates two fields; unless the file was written as a CSV with
  tabs (`_has_csv_quotes`), and is read as such.
"""

import contextlib
import csv
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.data import parquet
from pipeline.data.text_files import check_characters, format_suffix, read_lines
from pipeline.errors import UserError, nearest, require

SEPARATORS = ",;|\t"  # of .csv files, in the order in which they are tried
LONGEST_FIELD = 2**31 - 1  # characters; Python's csv stops at 128 KiB unless told


class Row(NamedTuple):
    """The wanted columns of one row."""

    line: int  # on which the row begins, from 1; in .parquet, and in .json that is one list, the number of the row
    values: dict[str, Any]  # column name to raw value: text in .csv and .tsv, else whatever the file holds


Fields = Iterator[tuple[int, list[str]]]


def location(path: Path, line: int) -> str:
    """A row as errors name it: `reviews.csv:7`, or `reviews.parquet, row 7`."""
    return f"{path}, row {line}" if path.suffix.lower() == ".parquet" else f"{path}:{line}"


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
            return _read_csv(path, columns=columns, header=header, optional=optional)
        case ".tsv":
            return read_tsv(path, columns=columns, header=header, optional=optional)
        case ".jsonl":
            return _read_jsonl(path, columns, optional)
        case ".json":
            return _read_json(path, columns, optional)
        case ".parquet" if path.suffix.lower() == ".parquet":
            return _read_parquet(path, columns, optional)
    raise UserError(
        f"{path}: unknown kind of table; the file name ends in .csv, .tsv, .jsonl, .json (with .gz, .bz2, .xz or .zip"
        " after it if compressed) or .parquet"
    )


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


def column_names(path: Path) -> tuple[str, ...]:
    """The names of a table's columns; of .jsonl and .json the keys of its first row.

    A .csv is parted by the first of comma, semicolon, bar and tab that gives its header line several columns.
    Raises: UserError for a file that cannot be read, or has no such line or row.
    """
    match format_suffix(path):
        case ".csv":
            names = _csv_header(path)
        case ".tsv":
            names = next((fields for _, fields in _tsv_fields(path)), [])
        case ".parquet":
            names = parquet.read_schema(path).names
        case ".json" if (rows := read_json(path)) is not None:
            rows = rows.get("data", [rows]) if isinstance(rows, dict) else rows
            names = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else []
        case _:
            lines = ((line, text) for line, text in read_lines(path) if text.strip())
            row = next((parse_json(text, f"{path}:{line}") for line, text in lines), None)
            names = row if isinstance(row, dict) else []
    require(len(names) > 1, f"{path}: no row that names several columns; the first line of a .csv or .tsv names them")
    return tuple(names)


def _csv_header(path: Path) -> list[str]:
    for sign in SEPARATORS:
        with contextlib.suppress(UserError):  # reading with commas raises it again
            _, header = next(_csv_fields(path, sign), (0, []))
            if len(header) > 1:
                return header
    return next(_csv_fields(path, ","), (0, []))[1]


def _read_csv(path: Path, *, columns: Sequence[str], header: Sequence[str], optional: Sequence[str]) -> Iterator[Row]:
    separator = _separator(path, columns, header)
    yield from _table(path, _csv_fields(path, separator), columns=columns, header=header, optional=optional)


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
    _check_header(where, header, columns)
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


def _check_header(where: str, header: Sequence[str], columns: Sequence[str]) -> None:
    """Raises UserError for a name that stands twice, and for a wanted column that is missing."""
    counts = Counter(header)
    if repeated := [name for name, count in counts.items() if name and count > 1]:
        raise UserError(f"{where}: two columns are named '{repeated[0]}'; rename one")
    _check_wanted(where, set(header), columns)


def _check_wanted(where: str, names: Collection[str], columns: Sequence[str]) -> None:
    """Raises UserError for a wanted column that is missing. Args: names: a set, or a row by name."""
    for column in columns:
        if column not in names:
            raise UserError(f"{where}: no column '{column}'{nearest(column, names)}")


def _read_jsonl(path: Path, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Row]:
    for line, text in read_lines(path):
        if text.strip():
            yield _json_row(f"{path}:{line}", line, parse_json(text, f"{path}:{line}"), columns, optional)


def _read_json(path: Path, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Row]:
    """A list of objects, alone or under the key 'data'; also JSON Lines, which some files call .json."""
    rows = read_json(path)
    if rows is None:
        yield from _read_jsonl(path, columns, optional)
        return
    _refuse_columns(str(path), rows, columns)
    rows = rows.get("data", [rows]) if isinstance(rows, dict) else rows
    require(isinstance(rows, list), f"{path}: not a list of objects, one for each row")
    for number, values in enumerate(rows, 1):
        yield _json_row(f"{path}, row {number}", number, values, columns, optional)


def read_json(path: Path) -> Any:
    """The value in a .json file; None where the file holds one object a line."""
    text = "".join(text for _, text in read_lines(path))
    if text.lstrip().startswith("{") and "\n" in text.strip():
        with contextlib.suppress(ValueError):
            json.loads(text.lstrip().split("\n", 1)[0])
            return None
    return parse_json(text, str(path))


def parse_json(text: str, where: str) -> Any:
    """A JSON value. Raises UserError that begins with `where`."""
    try:
        return json.loads(text, object_pairs_hook=_without_repeated_keys)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not valid JSON ({error.msg} at character {error.pos + 1})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not valid JSON ({error})") from None


def _refuse_columns(where: str, values: Any, columns: Sequence[str]) -> None:
    """Raises UserError for a table that pandas wrote by columns, by index, or split into parts."""
    if not isinstance(values, dict) or not values:
        return
    found = [values[column] for column in columns if column in values]
    keys = [tuple(one) if isinstance(one, dict) else () for one in found]
    numbered = all(key.isdecimal() for names in keys for key in names)
    by_columns = bool(keys) and all(keys) and (numbered or (len(keys) > 1 and len(set(keys)) == 1))
    by_index = all(isinstance(one, dict) and set(columns) <= one.keys() for one in values.values())
    split = {"columns", "data"} <= values.keys() and isinstance(values["columns"], list)
    if by_columns or by_index or split:
        raise UserError(
            f"{where}: the table is written by {'columns' if by_columns else 'index' if by_index else 'parts'}; write"
            " it row by row: to_json(path, orient='records', lines=True)"
        )


def _json_row(where: str, line: int, values: Any, columns: Sequence[str], optional: Sequence[str]) -> Row:
    _refuse_columns(where, values, columns)
    if not isinstance(values, dict):
        raise UserError(f'{where}: not a JSON object; each line is one, such as {{"{columns[0]}": "..."}}')
    _check_wanted(where, values, columns)  # a key that stands twice is refused where JSON is parsed
    wanted = {column: values[column] for column in columns} | {column: values.get(column) for column in optional}
    for column, value in wanted.items():
        try:
            check_characters(value, f"column '{column}'")
        except ValueError as error:
            raise UserError(f"{where}: {error}") from None
    return Row(line, wanted)


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key '{next(name for name in names if names.count(name) > 1)}' stands twice")
    return values


def _read_parquet(path: Path, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Row]:
    names = parquet.read_schema(path).names
    _check_header(str(path), names, columns)
    present = [*columns, *(column for column in optional if column in names)]
    absent = dict.fromkeys(column for column in optional if column not in names)
    for number, values in parquet.read_rows(path, columns=present):
        yield Row(number, values | absent)
