"""Read words with their tags: CoNLL files, or tables whose rows hold a list of words and a list of tags.

CoNLL: each line holds a word and its tag, in the first and the last column unless the recipe gives their numbers, or
their names in a header line; a blank line ends a sentence. In a table a list may be written as text, as pandas writes
it to CSV. Tags in IOB1, IOB2, BIOES, BILOU or without prefixes become IOB2. A text is its words joined by single
spaces, so `split(" ")` gives the words back.
"""

import ast
import contextlib
import json
import re
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.data.examples import Columns, Example, parse_group, short_repr
from pipeline.data.parquet import label_names, read_schema
from pipeline.data.tables import location, read_rows
from pipeline.data.text_files import format_suffix, read_lines
from pipeline.errors import UserError, nearest, require

OUTSIDE = "O"
UNNAMED = "ENTITY"  # the type of entities whose tags are a bare prefix
BARE = {"", OUTSIDE, *"BIES"}  # tags that are only a prefix
PREFIXED = re.compile(r"([BIESLUM])[-_](.+)")
TABLES = (".jsonl", ".json", ".csv", ".parquet")
ITEM = r"""('([^'\\]|\\.)*'|"([^"\\]|\\.)*"|-?\d+)"""
NUMPY_LIST = re.compile(rf"\[\s*{ITEM}(\s+({ITEM}|\.\.\.))+\s*\]", re.DOTALL)  # without commas
DEFAULTS = ("text", "label")  # the recipe's defaults; in a CoNLL file they mean the first and the last column
FEW_ROWS = 20  # so few rows may all be single words by chance


def read(path: Path, columns: Columns, left_out: MutableMapping[str, int]) -> Iterator[Example]:
    """A file's sentences; those without a visible character are left out and counted as 'empty'."""
    require(len(columns.texts) == 1, "task.text_pair: words with tags have no second text; leave it out")
    require(not columns.drop_labels, "task.drop_labels: a sentence has a tag for each word, not a label; leave it out")
    read_sentences = _table if format_suffix(path) in TABLES else _conll
    for line, words, label, group in read_sentences(path, columns):
        if not "".join(words).strip():
            left_out["empty"] += 1
            continue
        yield Example((" ".join(re.sub(r"\s", "\u00a0", word) for word in words),), label, group, path, line)


def _conll(path: Path, columns: Columns) -> Iterator[tuple[int, list[str], Any, str | None]]:
    by_number = "whose columns are given by number in task.text and label"
    require(not columns.header, f"task.header: {path} is read as CoNLL, {by_number}")
    word_column = int(columns.texts[0]) if columns.texts[0].isdecimal() else 0
    tag_column = int(columns.label) if columns.label.isdecimal() else -1
    words, tags, begin, width = [], [], 0, 0
    for line, raw in [*read_lines(path), (0, "")]:
        text = raw.rstrip("\r\n\t ")
        fields = text.split("\t") if "\t" in text else re.split(" +", text.strip(" "))
        if text and not width and not _is_tag(fields[-1]) and _is_header(fields, columns):
            word_column, tag_column = (
                _named(name, fields, f"{path}:{line}") for name in (columns.texts[0], columns.label)
            )
            width = len(fields)
            continue
        ends = not text or fields[0] == "-DOCSTART-"
        if ends or (text.startswith("# ") and not words and not _is_tag(fields[-1])):  # such as '# id = 7'
            if words:
                yield begin, words, iob2(tags) if columns.label else None, None
            words, tags = [], []
            continue
        width = width or len(fields)
        needed = max(word_column, tag_column, 1 if columns.label else 0) + 1
        if len(fields) < needed or (columns.label and tag_column < 0 and len(fields) != width):
            raise UserError(
                f"{path}:{line}: {len(fields)} columns where {max(needed, width)} are needed; a line is a word, a"
                " tab or a space, and its tag, and a blank line ends a sentence"
            )
        begin = begin if words else line
        words.append(fields[word_column])
        tags.append(fields[tag_column].strip())


def _is_header(fields: Sequence[str], columns: Columns) -> bool:
    """Whether the first line of a CoNLL file names its columns: one that the recipe names, or both of the defaults."""
    names = {name for name in (columns.texts[0], columns.label) if name and not name.isdecimal()}
    return bool((names - set(DEFAULTS)) & set(fields)) or (len(names) == len(DEFAULTS) and names <= set(fields))


def _named(name: str, header: Sequence[str], where: str) -> int:
    if name in header:
        return header.index(name)
    if name and not name.isdecimal() and name not in DEFAULTS:
        raise UserError(f"{where}: no column '{name}'{nearest(name, header)}")
    return int(name) if name.isdecimal() else 0 if name == DEFAULTS[0] else -1


def _is_tag(text: str) -> bool:
    return text == OUTSIDE or PREFIXED.fullmatch(text) is not None


def _table(path: Path, columns: Columns) -> Iterator[tuple[int, list[str], Any, str | None]]:
    if columns.label and not columns.known_labels and path.suffix.lower() == ".parquet":
        columns = replace(columns, known_labels=label_names(read_schema(path), columns.label))
    rows, longest = 0, 0
    for line, values in read_rows(path, columns=columns.names(), header=columns.header):
        try:
            words = _list(values[columns.texts[0]], columns.texts[0], "words")
            label = None
            if columns.label:
                label = columns.answer(values[columns.label], columns)
                if len(label) != len(words):
                    raise ValueError(f"{len(words)} words, but {len(label)} tags in '{columns.label}'")
            group = parse_group(values[columns.group], columns.group) if columns.group else None
        except ValueError as error:
            raise UserError(f"{location(path, line)}: {error}") from None
        rows, longest = rows + 1, max(longest, len(words))
        yield line, [str(word) for word in words], label, group
    if columns.label and rows > FEW_ROWS and longest == 1:
        raise UserError(
            f"{path}: each of the {rows} rows is one word, and a row is a sentence; write its words, and its tags, as a"
            " list or with blanks between them, or give a CoNLL file"
        )


def _list(value: Any, column: str, what: str) -> list[Any]:
    """A list; from a text, the list that it holds as JSON or Python, else its words."""
    if isinstance(value, str):
        if NUMPY_LIST.fullmatch(value.strip()):
            raise ValueError(
                f"column '{column}' holds {short_repr(value)}, {what} as numpy prints them; separate the items by"
                " commas, as JSON does"
            )
        return _list_as_text(value.strip()) or value.split()
    if not isinstance(value, list):
        raise ValueError(f"column '{column}' holds {short_repr(value)}, not a list of {what}")
    return value


def _list_as_text(text: str) -> list[Any]:
    """The list that a text holds as JSON or Python; empty where it holds none."""
    for parse in (json.loads, ast.literal_eval) if text.startswith("[") else ():
        with contextlib.suppress(ValueError, SyntaxError, RecursionError):
            if isinstance(found := parse(text), list):
                return found
    return []


def parse_tags(value: Any, columns: Columns) -> tuple[str, ...]:
    """Tags by name in IOB2. Numbers are looked up in the names that the recipe, or the Parquet file, gives."""
    names = []
    for tag in _list(value, columns.label, "tags"):
        if not isinstance(tag, str | int) or isinstance(tag, bool):
            raise ValueError(f"column '{columns.label}' holds the tag {short_repr(tag)}, not a name or a number")
        number = int(tag) if isinstance(tag, int) or tag.lstrip("-").isdecimal() else None
        if number is not None and not 0 <= number < len(columns.known_labels):
            raise ValueError(
                f"column '{columns.label}' holds the tag number {number}; name the tags, from 0 on, in task.labels"
            )
        names.append(str(tag) if number is None else columns.known_labels[number])
    return iob2(names)


def iob2(tags: Sequence[str]) -> tuple[str, ...]:
    """Tags of a sentence in IOB2: B- on the first word of an entity, I- on its others.

    IOB1 uses B- only between two neighbouring entities of one type. S-, U- and E-, L-, M- are the prefixes of BIOES and
    BILOU. Equal neighbouring tags without a prefix are one entity. Where all tags of a sentence are bare prefixes
    (B, I, O), the type of its entities is ENTITY.
    """
    found: list[str] = []
    inside = None  # the type of the entity that the next word may continue
    if set(tags) <= BARE:
        tags = [tag if tag in ("", OUTSIDE) else f"{tag}-{UNNAMED}" for tag in tags]
    for tag in tags:
        prefixed = PREFIXED.fullmatch(tag)
        prefix, name = prefixed.groups() if prefixed else ("I", tag)
        if tag == OUTSIDE or not tag:
            found.append(OUTSIDE)
            inside = None
            continue
        begins = prefix in "BSU" or name != inside
        found.append(f"{'B' if begins else 'I'}-{name}")
        inside = None if prefix in "SUEL" and prefixed else name
    return tuple(found)
