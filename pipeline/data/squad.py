"""Read questions about texts: SQuAD's nested .json, or tables whose rows hold a question, a context and its answers."""

import re
import unicodedata
from collections.abc import Iterator, MutableMapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.data.examples import Columns, Example, parse_group, parse_texts, short_repr
from pipeline.data.json_tables import read_json
from pipeline.data.rows import location
from pipeline.data.tables import read_rows
from pipeline.data.text_files import check_characters, format_suffix
from pipeline.errors import UserError, require

Answers = dict[str, list[Any]]  # 'text' and 'answer_start', as on the hub; both are empty where there is no answer


class LostAnswer(ValueError):
    """The context does not hold an answer."""


class Question(NamedTuple):
    """A question with raw values, as the file holds them."""

    where: str
    line: int
    text: Any
    context: Any
    answers: Any
    group: str | None


def read(path: Path, columns: Columns, left_out: MutableMapping[str, int]) -> Iterator[Example]:
    """A file's questions, each with its context and where its answers begin."""
    if len(columns.texts) < 2:
        raise UserError("task.text_pair: name the column of the context, and in task.text that of the question")
    for question in _nested(path, labelled=bool(columns.label)) or _flat(path, columns):
        try:
            texts = parse_texts([question.text, question.context], columns)
            if texts is None:
                left_out["empty"] += 1
                continue
            label = parse_answers(question.answers, texts[1]) if columns.label else None
        except LostAnswer as error:
            if columns.skip_lost_answers:
                left_out["lost"] += 1
                continue
            raise UserError(f"{question.where}: {error}; mend it, or set task.skip_lost_answers: true") from None
        except ValueError as error:
            raise UserError(f"{question.where}: {error}") from None
        yield Example(texts, label, question.group, path, question.line)


def _flat(path: Path, columns: Columns) -> Iterator[Question]:
    for line, values in read_rows(path, columns=columns.names()):
        question, context = (values[column] for column in columns.texts)
        where = location(path, line)
        try:
            group = parse_group(values[columns.group], columns.group) if columns.group else None
        except ValueError as error:
            raise UserError(f"{where}: {error}") from None
        yield Question(where, line, question, context, values.get(columns.label), group)


def _nested(path: Path, *, labelled: bool) -> Iterator[Question] | None:
    """The questions of SQuAD's own layout, or None where the file has another. Args: labelled: answers are needed."""
    articles = _articles(path)
    return None if articles is None else _questions(path, articles, labelled=labelled)


def is_nested(path: Path) -> bool:
    """Whether a file has SQuAD's own layout."""
    return _articles(path) is not None


def _articles(path: Path) -> Sequence[Any] | None:
    """Those of SQuAD's own layout, or None where the file has another."""
    if format_suffix(path) != ".json":
        return None
    articles = read_json(path)
    articles = articles.get("data", articles) if isinstance(articles, dict) else articles
    articles = [articles] if isinstance(articles, dict) else articles
    if not (isinstance(articles, list) and articles and isinstance(articles[0], dict) and "paragraphs" in articles[0]):
        return None
    return articles


def _questions(path: Path, articles: Sequence[Any], *, labelled: bool) -> Iterator[Question]:
    number = 0
    for article in _objects(articles, path, "articles"):
        for paragraph in _objects(article.get("paragraphs"), path, "paragraphs"):
            for qa in _objects(paragraph.get("qas"), path, "qas"):
                number += 1
                where = f"{path}, question {qa.get('id', number)}"
                if "question" not in qa or "context" not in paragraph:
                    raise UserError(f"{where}: needs a 'question', and its paragraph a 'context'")
                impossible = qa.get("is_impossible", False)
                require(
                    isinstance(impossible, bool),
                    f"{where}: is_impossible is {short_repr(impossible)}, and true or false is needed",
                )
                require(
                    not labelled or impossible or "answers" in qa,
                    f"{where}: has no 'answers'; give them, an empty list where there is none, or leave this file out:"
                    " nothing can be measured on it",
                )
                answers = [] if impossible else qa.get("answers", [])  # not plausible_answers
                try:
                    check_characters([qa["question"], paragraph["context"], answers], "the question, context or answer")
                except ValueError as error:
                    raise UserError(f"{where}: {error}") from None
                yield Question(where, number, qa["question"], paragraph["context"], answers, article.get("title"))


def _objects(value: Any, path: Path, name: str) -> Sequence[dict[str, Any]]:
    """A list of objects; empty where there is none."""
    found = [] if value is None else value
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UserError(f"{path}: its {name} are {short_repr(value)}, and a list of objects is needed, as in SQuAD")
    return found


def parse_answers(value: Any, context: str) -> Answers:
    """Texts and starts, from SQuAD's list of answers or the hub's lists of texts and of starts.

    Blanks around an answer are removed. Where the context has another text at the given start, the nearest occurrence
    of the answer is taken, as the context writes it: letters and accents may be one character or several (NFC, NFD).

    Raises: LostAnswer where the context does not hold it.
    """
    found: Answers = {"text": [], "answer_start": []}
    for answer in _single_answers(value):
        if not isinstance(answer, dict) or not isinstance(answer.get("text"), str):
            raise ValueError(f"an answer is {short_repr(answer)}, not a text and its answer_start")
        text, start = answer["text"].strip(), _whole(answer.get("answer_start"))
        if not text:
            continue
        if start is not None:
            start += len(answer["text"]) - len(answer["text"].lstrip())
        if start is None or start < 0 or context[start : start + len(text)] != text:
            spans = [match.span() for match in re.finditer(re.escape(text), context)] or _in_nfc(text, context)
            if not spans:
                raise LostAnswer(f"the context does not hold the answer {short_repr(text)}")
            near = start or 0
            start, end = min(spans, key=lambda span: abs(span[0] - near))
            text = context[start:end]
        found["text"].append(text)
        found["answer_start"].append(start)
    return found


def _in_nfc(text: str, context: str) -> list[tuple[int, int]]:
    """Spans of the context that are the text when both are in NFC."""
    wanted = unicodedata.normalize("NFC", text)
    if wanted not in unicodedata.normalize("NFC", context):
        return []
    # In NFC a letter joins what follows it, never what stands before it: pieces can be normalised one by one.
    starts = [index for index, character in enumerate(context) if not index or not _joins(character)]
    pieces = list(pairwise([*starts, len(context)]))
    parts = [unicodedata.normalize("NFC", context[slice(*piece)]) for piece in pieces]
    piece_of = [number for number, part in enumerate(parts) for _ in part]
    found = [match.span() for match in re.finditer(re.escape(wanted), "".join(parts))]
    return [(pieces[piece_of[start]][0], pieces[piece_of[end - 1]][1]) for start, end in found]


def _joins(character: str) -> bool:
    """Whether NFC may join a character to the one before it: accents, vowel signs, the parts of a Korean syllable."""
    return unicodedata.category(character).startswith("M") or "\u1160" <= character <= "\u11ff"


def _single_answers(value: Any) -> list[Any]:
    """The answers of a question as a list, each with its own start."""
    if value is None:
        return []
    if not isinstance(value, dict):
        return value if isinstance(value, list) else [value]
    texts, starts = value.get("text"), value.get("answer_start")
    if isinstance(texts, str):
        return [value]
    texts = [] if texts is None else texts
    starts = [None] * len(texts) if starts is None and isinstance(texts, list) else starts
    if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
        raise ValueError(f"its answers are {short_repr(value)}, and a list of texts with as many starts is needed")
    return [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]


def _whole(start: Any) -> int | None:
    """A start as a number: 12, "12" from CSV, or 12.0, as pandas writes it in a column with missing values."""
    start = start[0] if isinstance(start, list) and len(start) == 1 else start
    try:
        number = float(start)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if number.is_integer() else None
