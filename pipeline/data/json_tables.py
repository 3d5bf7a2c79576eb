"""Tables of JSON objects: .jsonl, and .json that is one list of them or has an object on each line."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.data.rows import Row, check_wanted
from pipeline.data.text_files import check_characters, read_lines
from pipeline.errors import UserError, require


def read_jsonl(path: Path, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Row]:
    """The rows of a file with an object on each line, lazily."""
    for line, text in read_lines(path):
        if text.strip():
            yield _json_row(f"{path}:{line}", line, _parse_json(text, f"{path}:{line}"), columns, optional)


def read_json_rows(path: Path, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Row]:
    """A list of objects, alone or under the key 'data'; also JSON Lines, which some files call .json."""
    rows = read_json(path)
    if rows is None:
        yield from read_jsonl(path, columns, optional)
        return
    _refuse_columns(str(path), rows, columns)
    rows = _rows_of(rows)
    require(isinstance(rows, list), f"{path}: not a list of objects, one for each row")
    for number, values in enumerate(rows, 1):
        yield _json_row(f"{path}, row {number}", number, values, columns, optional)


def json_columns(path: Path) -> list[str]:
    """The keys of the first object in a .json file; none where it holds something else."""
    rows = read_json(path)
    if rows is None:
        return jsonl_columns(path)
    rows = _rows_of(rows)
    return list(rows[0]) if isinstance(rows, list) and rows and isinstance(rows[0], dict) else []


def jsonl_columns(path: Path) -> list[str]:
    """The keys of the first object in a .jsonl file; none where its first line is something else."""
    lines = ((line, text) for line, text in read_lines(path) if text.strip())
    row = next((_parse_json(text, f"{path}:{line}") for line, text in lines), None)
    return list(row) if isinstance(row, dict) else []


def _rows_of(value: Any) -> Any:
    """The list in a .json file: the value itself, or what stands under 'data', or one object alone."""
    return value.get("data", [value]) if isinstance(value, dict) else value


def read_json(path: Path) -> Any:
    """The value in a .json file; None where the file holds one object a line."""
    text = "".join(text for _, text in read_lines(path))
    if text.lstrip().startswith("{") and "\n" in text.strip():
        with contextlib.suppress(ValueError):
            json.loads(text.lstrip().split("\n", 1)[0])
            return None
    return _parse_json(text, str(path))


def _parse_json(text: str, where: str) -> Any:
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
    check_wanted(where, values, columns)  # a key that stands twice is refused where JSON is parsed
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
