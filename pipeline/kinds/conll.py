"""Read words with their tags: CoNLL files, or tables with a list of words and a list of tags a row.

CoNLL: a word and its tag a line, the first and the last column unless the recipe gives numbers; a blank line between
sentences. Tags in IOB1, IOB2, BIOES, BILOU or without prefixes become IOB2. A text is its words with single spaces
between them, so words are what `split(" ")` gives.
"""

import json
import re
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.examples import Columns, Example, group_of, shown
from pipeline.tables import read_lines, read_rows

OUTSIDE = "O"
PREFIXED = re.compile(r"([BIESLUM])[-_](.+)")
TABLES = (".jsonl", ".json", ".parquet", ".csv")


def read(path: Path, columns: Columns, left_out: MutableMapping[str, int]) -> Iterator[Example]:
    """A file's sentences; those without a visible character are left out and counted as 'empty'."""
    is_table = any(path.name.lower().endswith((ending, f"{ending}.gz", f"{ending}.bz2")) for ending in TABLES)
    for line, words, label, group in (_table if is_table else _conll)(path, columns):
        if not "".join(words).strip():
            left_out["empty"] += 1
            continue
        yield Example((" ".join(re.sub(r"\s", "\u00a0", word) for word in words),), label, group, path, line)


def _conll(path: Path, columns: Columns) -> Iterator[tuple[int, list[str], Any, str | None]]:
    word_column = int(columns.texts[0]) if columns.texts[0].isdecimal() else 0
    tag_column = int(columns.label) if columns.label.isdecimal() else -1
    words, tags, begin, width = [], [], 0, 0
    for line, raw in [*read_lines(path), (0, "")]:
        text = raw.strip("\r\n")
        fields = text.split("\t") if "\t" in text else re.split(" +", text.strip(" "))
        ends = not text.strip(" \t") or fields[0] == "-DOCSTART-"
        if ends or (text.startswith("# ") and not words and not _is_tag(fields[-1])):  # such as '# id = 7'
            if words:
                yield begin, words, iob2(tags) if columns.label else None, None
            words, tags = [], []
            continue
        width = width or len(fields)
        needed = max(word_column, tag_column, 1 if columns.label else 0) + 1
        if len(fields) < needed or (columns.label and len(fields) != width):
            raise UserError(
                f"{path}:{line}: {len(fields)} columns where {max(needed, width)} are needed; a line is a word, a"
                " tab or a space, and its tag, and a blank line ends a sentence"
            )
        begin = begin if words else line
        words.append(fields[word_column])
        tags.append(fields[tag_column].strip())


def _is_tag(text: str) -> bool:
    return text == OUTSIDE or PREFIXED.fullmatch(text) is not None


def _table(path: Path, columns: Columns) -> Iterator[tuple[int, list[str], Any, str | None]]:
    if columns.label and not columns.known_labels and path.suffix == ".parquet":
        columns = replace(columns, known_labels=_names_in_parquet(path, columns.label))
    for line, values in read_rows(path, columns=columns.names()):
        try:
            words = _list(values[columns.texts[0]], columns.texts[0], "words")
            label = None
            if columns.label:
                label = columns.answer(values[columns.label], columns)
                if len(label) != len(words):
                    raise ValueError(f"{len(words)} words, but {len(label)} tags in '{columns.label}'")
            group = group_of(values[columns.group], columns.group) if columns.group else None
        except ValueError as error:
            separator = ", row " if path.suffix == ".parquet" else ":"
            raise UserError(f"{path}{separator}{line}: {error}") from None
        yield line, [str(word) for word in words], label, group


def _list(value: Any, column: str, what: str) -> list[Any]:
    """A list, or what the blanks of a string part."""
    if isinstance(value, str):
        return value.split()
    if not isinstance(value, list):
        raise ValueError(f"column '{column}' holds {shown(value)}, not a list of {what}")
    return value


def tags_of(value: Any, columns: Columns) -> tuple[str, ...]:
    """Tags by name in IOB2, from names, or from numbers of the names that the recipe (or a Parquet file) gives."""
    names = []
    for tag in _list(value, columns.label, "tags"):
        number = int(tag) if isinstance(tag, int) or str(tag).isdecimal() else None
        if number is not None and number >= len(columns.known_labels):
            raise ValueError(
                f"column '{columns.label}' holds the tag number {number}; name the tags, from 0 on, in task.labels"
            )
        names.append(str(tag) if number is None else columns.known_labels[number])
    return iob2(names)


def iob2(tags: Sequence[str]) -> tuple[str, ...]:
    """Tags of a sentence in IOB2: B- on the first word of an entity, I- on its others.

    IOB1's B- stands only between two entities of one type; S-, U- and E-, L-, M- are those of BIOES and BILOU; a tag
    without prefix goes on while it is the same.
    """
    found: list[str] = []
    inside = None  # the type that may go on
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


def _names_in_parquet(path: Path, column: str) -> tuple[str, ...]:
    """The names of a column of ClassLabels, which `datasets` notes in the file; empty where it noted none."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    noted = (pq.read_schema(path).metadata or {}).get(b"huggingface", b"{}")
    feature = json.loads(noted).get("info", {}).get("features", {}).get(column, {})
    inner = feature.get("feature", feature) if isinstance(feature, dict) else {}
    return tuple(inner.get("names", ())) if isinstance(inner, dict) else ()
