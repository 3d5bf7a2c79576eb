"""Read words with their tags: CoNLL files, and by `word_lists` tables whose rows hold lists.

CoNLL: each line holds a word and its tag, in the first and the last column unless the recipe gives their numbers, or
their names in a header line; a blank line ends a sentence. Tags become IOB2 (`pipeline.data.tags`). A text is its words
joined by single spaces, so `split(" ")` gives the words back.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, MutableMapping, Sequence
from dataclasses import replace
from itertools import pairwise, takewhile
from pathlib import Path

from pipeline.data.examples import Columns, Example, list_in_text
from pipeline.data.parquet import label_names, read_schema
from pipeline.data.rows import location
from pipeline.data.running_text import is_running_text, is_table_of_texts
from pipeline.data.tables import read_rows
from pipeline.data.tags import OUTSIDE, PREFIXED, Tag, are_bare, iob2, look_like_tags, meanings
from pipeline.data.text_files import format_suffix, read_lines
from pipeline.data.word_lists import FEW_ROWS, Sentence, read_table, words_in_list
from pipeline.errors import UserError, nearest, require

TABLES = (".jsonl", ".json", ".csv", ".parquet")
DEFAULTS = ("text", "label")  # the recipe's defaults; in a CoNLL file they mean the first and the last column
NAMES_OF_WORDS = ("text", "token", "tokens", "word", "words", "form")
NAMES_OF_TAGS = ("label", "labels", "tag", "tags", "ner", "ner_tag", "ner_tags", "iob", "bio", "entity")
CONLL_U = 10  # columns of CoNLL-U, the first of which numbers the words
COMMENT = re.compile("# .* = ")  # of CoNLL-U, such as '# text = The film'
NOT_A_WORD = re.compile(r"\d+[-.]\d+")  # in that column: several words in one, or one that is left out


def read(path: Path, columns: Columns, left_out: MutableMapping[str, int]) -> Iterator[Example]:
    """A file's sentences; those without a visible character are left out and counted as 'empty'."""
    require(len(columns.texts) == 1, "task.text_pair: words with tags have no second text; leave it out")
    require(not columns.drop_labels, "task.drop_labels: a sentence has a tag for each word, not a label; leave it out")
    is_table = format_suffix(path) in TABLES
    if is_table and columns.label and not columns.known_labels and path.suffix.lower() == ".parquet":
        columns = replace(columns, known_labels=label_names(read_schema(path), columns.label))
    reader = read_table if is_table else _conll
    if not columns.label and not is_table:
        reader = read_table if is_table_of_texts(path, columns) else _lines if is_running_text(path) else _conll
    sentences = list(reader(path, columns))
    names = _meanings(sentences, path, columns) if columns.label else {}
    listed = set(names.values()) - {OUTSIDE} <= set(columns.known_labels)
    bare = are_bare(columns.known_labels if listed else names.values())
    for line, words, tags, group in sentences:
        if not "".join(words).strip():
            left_out["empty"] += 1
            continue
        label = iob2([names[tag] for tag in tags], bare=bare) if columns.label else None
        yield Example((joined(words),), label, group, path, line)


def read_unlabelled(path: Path, columns: Columns) -> Iterator[tuple[str, bool]]:
    """Texts for a saved student, and whether single blanks part their words.

    In a table, also a .tsv, a text is as it was typed, or a list of words. Another file has a word a line as CoNLL has
    it, or else a text a line.
    """
    (column,) = columns.texts
    if format_suffix(path) not in TABLES and not is_table_of_texts(path, columns):
        if is_running_text(path):
            yield from ((line.strip(), False) for _, line in read_lines(path) if line.strip())
        else:
            yield from ((joined(sentence.words), True) for sentence in _conll(path, columns))
        return
    for line, values in read_rows(path, columns=[column]):
        value = values[column]
        if isinstance(value, str) and not list_in_text(value):
            yield value, False
            continue
        try:
            yield joined(words_in_list(value, column)), True
        except ValueError as error:
            raise UserError(f"{location(path, line)}: {error}") from None


def joined(words: Sequence[str]) -> str:
    """Words as a text; a blank inside a word becomes one that does not break."""
    return " ".join(re.sub(r"\s", "\u00a0", word) for word in words)


def _meanings(sentences: Sequence[Sentence], path: Path, columns: Columns) -> dict[str, str]:
    """What each different tag of a file's sentences stands for."""
    column = f"column '{columns.label}'" if format_suffix(path) in TABLES else "the column of the tags"
    counts = Counter(tag for sentence in sentences for tag in sentence.tags)
    first: dict[str, Tag] = {}
    for line, _, tags, _ in sentences:
        for tag in tags:
            first.setdefault(tag, Tag(tag, f"{location(path, line)}: {column}", counts[tag]))
    return dict(meanings(first.values(), columns.known_labels, where=f"{path}: {column}"))


def _conll(path: Path, columns: Columns) -> Iterator[Sentence]:
    by_number = "whose columns are given by number in task.text and label"
    require(not columns.header, f"task.header: {path} is read as CoNLL, {by_number}")
    word_column = int(columns.texts[0]) if columns.texts[0].isdecimal() else 0
    tag_column = int(columns.label) if columns.label.isdecimal() else -1
    lines: list[tuple[int, list[str]]] = []  # without fields where a sentence ends
    width = 0
    for line, raw in read_lines(path):
        text = raw.rstrip("\r\n\t ")
        if line == 1 and "\r" in text:
            raise UserError(f"{path}: its lines end in CR; save the file with LF at their ends")
        fields = text.split("\t") if "\t" in text else re.split(" +", text.strip(" "))
        may_be_header = text and not width and not _is_tag(fields[-1]) and not COMMENT.match(text)
        if may_be_header and (names := _header(fields, columns, f"{path}:{line}")):
            word_column, tag_column = names
            width = len(fields)
            continue
        begins = not lines or not lines[-1][1]
        comment = text.startswith("# ") and begins and (COMMENT.match(text) or not _is_tag(fields[-1]))  # '# newdoc'
        if not text or fields[0] == "-DOCSTART-" or comment:
            lines.append((line, []))
            continue
        if len(fields) == CONLL_U and NOT_A_WORD.fullmatch(fields[0]):
            continue
        width = width or len(fields)
        needed = max(word_column, tag_column, 1 if columns.label else 0) + 1
        if len(fields) < needed or (columns.label and tag_column < 0 and len(fields) != width):
            raise UserError(
                f"{path}:{line}: {len(fields)} columns where {max(needed, width)} are needed; a line is a word, a"
                " tab or a space, and its tag, and a blank line ends a sentence"
            )
        lines.append((line, fields))
    _check_columns(path, [fields for _, fields in lines if fields], word_column, tag_column, columns)
    words, tags, begin = [], [], 0
    for line, fields in [*lines, (0, [])]:
        if fields:
            begin = begin if words else line
            words.append(fields[word_column])
            tags.append(fields[tag_column].strip())
        elif words:
            yield Sentence(begin, words, tags, None)
            words, tags = [], []


def _check_columns(path: Path, lines: Sequence[list[str]], word_column: int, tag_column: int, columns: Columns) -> None:
    """Raises UserError for a column of words, or of tags, that can be none; it names those that can."""
    width = min(map(len, lines), default=0)
    if not width:
        return
    found = [{fields[column].strip() for fields in lines} for column in range(width)]
    tagged = [column for column in range(width) if look_like_tags(found[column])]
    chosen = tag_column % width if columns.label else None
    words = [fields[word_column] for fields in lines]
    if what := _why_no_words(words, are_tags=word_column in tagged):
        free = (column for column in range(width) if column not in tagged and column != word_column)
        swapped = chosen not in tagged if what == "tags" else what != "numbers" and width == 2
        label = f" and task.label: {word_column}" if swapped else ""
        raise UserError(
            f"{path}: column {word_column} holds {what}, such as '{words[0]}', not words; set task.text to the column"
            f" of the words, such as task.text: {next(free, 1)}{label} (columns count from 0)"
        )
    begin = _common_beginning(words)
    if len(found[word_column]) > FEW_ROWS and begin and not begin[-1].isalnum():
        raise UserError(f"{path}: each word begins with '{begin}', which is no part of it; remove it")
    others = [column for column in tagged if column != chosen]
    if chosen is not None and others:
        _check_tags(path, found[chosen], columns, column=chosen, better=others[-1])


def _why_no_words(words: Sequence[str], *, are_tags: bool) -> str:
    """What a column holds that can be no words; '' where it can."""
    if are_tags:
        return "tags"
    if len(words) <= FEW_ROWS:
        return ""
    if all(word.strip().isdecimal() for word in words):
        return "numbers"
    if sum(word == before for before, word in pairwise(words)) > len(words) / 2:
        return f"the same in {'every line' if len(set(words)) == 1 else 'most neighbouring lines'}"
    return ""


def _common_beginning(words: Sequence[str]) -> str:
    """That of the first and the last in alphabetical order is that of all."""
    pairs = zip(min(words), max(words), strict=False)
    return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _check_tags(path: Path, found: Collection[str], columns: Columns, *, column: int, better: int) -> None:
    """Raises UserError for a column that can be no tags. Args: found: its texts. better: a column that can."""
    try:
        meanings([Tag(text, str(path)) for text in found], columns.known_labels, where=str(path))
    except UserError as error:
        hint = f"column {column} was read; column {better} can be tags: set task.label: {better}"
        raise UserError(f"{error} ({hint})") from None


def _header(fields: Sequence[str], columns: Columns, where: str) -> tuple[int, int] | None:
    """The columns of words and tags where a file's first line names them; else None.

    Raises: UserError for a line that must be one, and whose names the recipe does not give.
    """
    names = {name for name in (columns.texts[0], columns.label) if name and not name.isdecimal()}
    if (names - set(DEFAULTS)) & set(fields) or (len(names) == len(DEFAULTS) and names <= set(fields)):
        return _named(columns.texts[0], fields, where), _named(columns.label, fields, where)
    word = next((name for name in fields if name.lower() in NAMES_OF_WORDS), None)
    tag = next((name for name in fields if name.lower() in NAMES_OF_TAGS), None)
    if not word or not tag:
        return None
    if columns.label:
        raise UserError(f"{where}: this line names the columns; set task.text: {word} and task.label: {tag}")
    return fields.index(word), -1


def _named(name: str, header: Sequence[str], where: str) -> int:
    if name in header:
        return header.index(name)
    if name and not name.isdecimal() and name not in DEFAULTS:
        raise UserError(f"{where}: no column '{name}'{nearest(name, header)}")
    return int(name) if name.isdecimal() else 0 if name == DEFAULTS[0] else -1


def _is_tag(text: str) -> bool:
    return text == OUTSIDE or PREFIXED.fullmatch(text) is not None


def _lines(path: Path, columns: Columns) -> Iterator[Sentence]:
    """A text a line, without tags."""
    for line, text in read_lines(path):
        if text.strip():
            yield Sentence(line, text.split(), [], None)
