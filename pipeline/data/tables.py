"""The user's tables, read row by row: .csv, .tsv, .jsonl, .json (also .gz, .bz2, .xz) and .parquet.

Nothing is repaired: a row that does not fit is an error with its file and line. `NA` is text. One thing is guessed:
where the header line of a .csv lacks an asked column and, with its fields separated by semicolons, bars or tabs, has
all of them, these separate the fields of the whole file. In CSV a quoted field may hold the separator, doubled quotes
and line ends (RFC 4180). In TSV quotes are characters and a tab always parts two fields. Text is UTF-8, with or without
a byte-order mark; lines end in LF or CRLF. Empty lines are skipped.
"""

import bz2
import codecs
import contextlib
import csv
import gzip
import json
import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from pipeline.errors import UserError, nearest

if TYPE_CHECKING:
    import pyarrow as pa


OPENERS: dict[str, Callable[..., IO[bytes]]] = {
    ".gz": cast(Callable[..., IO[bytes]], gzip.open),
    ".bz2": cast(Callable[..., IO[bytes]], bz2.open),
    ".xz": cast(Callable[..., IO[bytes]], lzma.open),
}
READ_FAILURES = (OSError, EOFError, zlib.error, lzma.LZMAError)
PARQUET_BATCH = 8192  # rows
LONGEST_FIELD = 2**31 - 1  # characters; Python's csv stops at 128 KiB unless told


class Row(NamedTuple):
    """The asked columns of one row."""

    line: int
    """Line of the file where the row begins (.parquet, and .json that is one list: its number), from 1."""
    values: dict[str, Any]
    """Column name to raw value: text in .csv and .tsv, else whatever the file holds."""


Fields = Iterator[tuple[int, list[str]]]


def place(path: Path, line: int) -> str:
    """Where a row stands, as errors name it: `reviews.csv:7`, or `reviews.parquet, row 7`."""
    return f"{path}, row {line}" if path.suffix.lower() == ".parquet" else f"{path}:{line}"


def read_rows(path: Path, *, columns: Sequence[str], header: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of a table, lazily.

    Args: header: the column names of a .csv or .tsv file that has no header line.

    Raises: UserError, with file and line, for an unknown ending (at once) and, while reading, for a file that cannot
        be read, a missing column, a column named twice, a row with too many or too few fields, invalid UTF-8 or JSON.
    """
    suffix = path.suffix.lower()
    ending = Path(path.stem).suffix.lower() if suffix in OPENERS else suffix
    if ending == ".csv":
        return _read_csv(path, columns=columns, header=header)
    if ending == ".tsv":
        return read_tsv(path, columns=columns, header=header)
    if ending == ".jsonl":
        return _read_jsonl(path, columns)
    if ending == ".json":
        return _read_json(path, columns)
    if suffix == ".parquet":
        return _read_parquet(path, columns)
    raise UserError(
        f"{path}: unknown kind of table; the file name ends in .csv, .tsv, .jsonl, .json (with .gz, .bz2 or .xz after"
        " it if compressed) or .parquet"
    )


def read_tsv(
    path: Path, *, columns: Sequence[str], header: Sequence[str] = (), malformed: list[int] | None = None
) -> Iterator[Row]:
    """The rows of a tab-separated file of any name.

    Args:
        header: the column names of a file that has no header line.
        malformed: takes the lines of rows with too many or too few fields; without it they are errors.
    """
    lines = ((line, text.removesuffix("\n").removesuffix("\r")) for line, text in read_lines(path))
    fields = ((line, text.split("\t")) for line, text in lines if text)
    return _table(path, fields, columns=columns, header=header, malformed=malformed)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Decoded lines with their numbers; only a line feed ends one, and it is kept."""
    opener = OPENERS.get(path.suffix.lower(), open)
    try:
        with opener(path, "rb") as stream:
            for number, raw in enumerate(stream, 1):
                try:
                    text = (raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw).decode("utf-8")
                except UnicodeDecodeError as error:
                    raise UserError(
                        f"{path}:{number}: not UTF-8 (byte 0x{error.object[error.start]:02x}); save the file as UTF-8"
                    ) from None
                yield number, text
    except READ_FAILURES as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def _read_csv(path: Path, *, columns: Sequence[str], header: Sequence[str]) -> Iterator[Row]:
    separator = "," if header else _separator(path, columns)
    yield from _table(path, _csv_fields(path, separator), columns=columns, header=header)


def _separator(path: Path, columns: Sequence[str]) -> str:
    """The first of comma, semicolon, bar and tab with which the header line has all asked columns; else the comma."""
    for sign in ",;|\t":
        with contextlib.suppress(UserError):  # which reading with commas says again
            _, header = next(_csv_fields(path, sign), (0, []))
            if set(columns) <= set(header):
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
                f"{path}:{line}: the row that begins here is not valid CSV ({error}); a field with a separator, a quote"
                ' or a line end stands in quotes, and a quote inside it is doubled ("")'
            ) from None
        if fields is None:
            return
        if fields:
            yield line, fields


def _table(
    path: Path, table: Fields, *, columns: Sequence[str], header: Sequence[str] = (), malformed: list[int] | None = None
) -> Iterator[Row]:
    if not header:
        line, header = next(table, (0, ()))
        if not header:
            raise UserError(f"{path}: is empty; its first line names the columns, {', '.join(columns)} among them")
        _check_header(f"{path}:{line}", header, columns)
    else:
        _check_header("task.header", header, columns)
    index = {column: header.index(column) for column in columns}
    for line, fields in table:
        if len(fields) == len(header):
            yield Row(line, {column: fields[position] for column, position in index.items()})
        elif malformed is not None:
            malformed.append(line)
        else:
            raise UserError(f"{path}:{line}: {len(fields)} fields where the table has {len(header)} columns")


def _check_header(where: str, header: Sequence[str], columns: Sequence[str]) -> None:
    repeated = [name for name in header if name and header.count(name) > 1]
    if repeated:
        raise UserError(f"{where}: two columns are named '{repeated[0]}'; rename one")
    for column in columns:
        if column not in header:
            raise UserError(f"{where}: no column '{column}'{nearest(column, header)}")


def _read_jsonl(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    for line, text in read_lines(path):
        if text.strip():
            yield _json_row(f"{path}:{line}", line, parse_json(text, f"{path}:{line}"), columns)


def _read_json(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """A list of objects, alone or under the key 'data'; or, as some call it, an object a line."""
    rows = read_json(path)
    if rows is None:
        yield from _read_jsonl(path, columns)
        return
    rows = rows.get("data", [rows]) if isinstance(rows, dict) else rows
    if not isinstance(rows, list):
        raise UserError(f"{path}: not a list of objects, one a row")
    for number, values in enumerate(rows, 1):
        yield _json_row(f"{path}, row {number}", number, values, columns)


def read_json(path: Path) -> Any:
    """What a .json file holds; None where it holds an object a line."""
    text = "".join(text for _, text in read_lines(path))
    if text.lstrip().startswith("{") and "\n" in text.strip():
        with contextlib.suppress(ValueError):
            json.loads(text.lstrip().split("\n", 1)[0])
            return None
    return parse_json(text, str(path))


def parse_json(text: str, where: str) -> Any:
    """A JSON value. Raises UserError that names the place."""
    try:
        return json.loads(text, object_pairs_hook=_without_repeated_keys)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not valid JSON ({error.msg} at character {error.pos + 1})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not valid JSON ({error})") from None


def _json_row(where: str, line: int, values: Any, columns: Sequence[str]) -> Row:
    if not isinstance(values, dict):
        raise UserError(f'{where}: not a JSON object; each line is one, such as {{"{columns[0]}": "..."}}')
    _check_header(where, list(values), columns)
    asked = {column: values[column] for column in columns}
    for column, value in asked.items():
        if not _is_unicode(value):
            raise UserError(f"{where}: column '{column}' holds half of a surrogate pair, which is no character")
    return Row(line, asked)


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key '{next(name for name in names if names.count(name) > 1)}' stands twice")
    return values


def _is_unicode(value: Any) -> bool:
    """Whether a JSON value, and all that it holds, can be written again."""
    try:
        (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _read_parquet(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path) as table:
            _check_header(str(path), table.schema_arrow.names, columns)
            number = 0
            for batch in table.iter_batches(PARQUET_BATCH, columns=list(columns)):
                lists = [batch.column(column).to_pylist() for column in columns]
                for values in zip(*lists, strict=True):
                    number += 1
                    yield Row(number, dict(zip(columns, values, strict=True)))
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UserError(f"{path}: not a readable Parquet file ({error})") from None


def is_text(column: "pa.DataType") -> bool:
    """Whether each row holds a text."""
    import pyarrow as pa  # noqa: PLC0415

    return pa.types.is_string(column) or pa.types.is_large_string(column)


def is_number(column: "pa.DataType") -> bool:
    """Whether each row holds a number."""
    import pyarrow as pa  # noqa: PLC0415

    return pa.types.is_floating(column) or pa.types.is_integer(column)


def is_list(column: "pa.DataType") -> bool:
    """Whether each row holds a list."""
    import pyarrow as pa  # noqa: PLC0415

    return pa.types.is_list(column) or pa.types.is_large_list(column)
