"""Words with their tags in a table: each row holds a list of words and a list of tags.

A list may be written as text, as pandas writes it to CSV.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.data.examples import Columns, list_in_text, parse_group, refuse_numpy_list, short_repr
from pipeline.data.rows import location
from pipeline.data.tables import read_rows
from pipeline.errors import UserError

FEW_ROWS = 20  # so few rows may all be single words by chance


class Sentence(NamedTuple):
    """Words with their tags as the file writes them."""

    line: int
    words: list[str]
    tags: list[str]
    group: str | None


def read_table(path: Path, columns: Columns) -> Iterator[Sentence]:
    """A table's rows as sentences. Raises UserError for a row whose lists do not fit, or a table of single words."""
    rows, longest = 0, 0
    for line, values in read_rows(path, columns=columns.names(), header=columns.header):
        try:
            words = words_in_list(values[columns.texts[0]], columns.texts[0])
            tags = []
            if columns.label:
                tags = columns.answer(values[columns.label], columns)
                if len(tags) != len(words):
                    raise ValueError(f"{len(words)} words, but {len(tags)} tags in '{columns.label}'")
            group = parse_group(values[columns.group], columns.group) if columns.group else None
        except ValueError as error:
            raise UserError(f"{location(path, line)}: {error}") from None
        rows, longest = rows + 1, max(longest, len(words))
        yield Sentence(line, words, tags, group)
    if columns.label and rows > FEW_ROWS and longest == 1:
        raise UserError(
            f"{path}: each of the {rows} rows is one word, and a row is a sentence; write its words, and its tags, as a"
            " list or with blanks between them, or give a CoNLL file"
        )


def as_list(value: Any, column: str, what: str) -> list[Any]:
    """A list; from a text, the list that it holds as JSON or Python, else its words."""
    if isinstance(value, str):
        refuse_numpy_list(value, column, what)
        return list_in_text(value) or value.split()
    if not isinstance(value, list):
        raise ValueError(f"column '{column}' holds {short_repr(value)}, not a list of {what}")
    return value


def words_in_list(value: Any, column: str) -> list[str]:
    """The words of a row. Raises ValueError with half a sentence for an item that is no word."""
    words = as_list(value, column, "words")
    for word in words:
        if word is None or isinstance(word, list | dict) or word != word:  # noqa: PLR0124 - NaN, as pandas writes it
            raise ValueError(f"column '{column}' holds {short_repr(word)} among its words; write a text for each word")
    return [str(word) for word in words]


def parse_tags(value: Any, columns: Columns) -> list[str]:
    """The tags of a row, as they are written."""
    if isinstance(value, dict):
        raise ValueError(_marks_characters(value, columns.label))
    tags = as_list(value, columns.label, "tags")
    for tag in tags:
        if isinstance(tag, list) and all(isinstance(one, str) for one in tag):
            raise ValueError(
                f"column '{columns.label}' holds lists of tags, {short_repr(tag)}, not the tags of one row; a table by"
                " columns is written row by row with orient='records'"
            )
        if isinstance(tag, list | dict | tuple):
            raise ValueError(_marks_characters(tag, columns.label))
        whole = isinstance(tag, float) and tag.is_integer()  # as a table by columns holds numbers beside missing ones
        if not (isinstance(tag, str | int) or whole) or isinstance(tag, bool):
            raise ValueError(f"column '{columns.label}' holds the tag {short_repr(tag)}, not a name or a number")
    return [str(tag).strip() for tag in tags]


def _marks_characters(value: Any, column: str) -> str:
    return (
        f"column '{column}' holds {short_repr(value)}, which marks characters; write a list of words and one of tags, a"
        " tag for each word"
    )
