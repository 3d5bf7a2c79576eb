"""Read questions about texts: SQuAD's nested .json, or tables with a question, a context and its answers a row."""

import re
from collections.abc import Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import UserError
from pipeline.examples import Columns, Example, group_of, shown, texts_of
from pipeline.tables import place, read_json, read_rows

Answers = dict[str, list[Any]]  # 'text' and 'answer_start', as on the hub; both empty: there is no answer


class Asking(NamedTuple):
    """A question as the files have it."""

    where: str
    line: int
    question: Any
    context: Any
    answers: Any
    group: str | None


def read(path: Path, columns: Columns, left_out: MutableMapping[str, int]) -> Iterator[Example]:
    """A file's questions, each with its context and where its answers begin."""
    if len(columns.texts) < 2:
        raise UserError("task.text_pair: name the column of the context, and in task.text that of the question")
    for asking in _nested(path, columns) or _flat(path, columns):
        try:
            texts = texts_of([asking.question, asking.context], columns)
            if texts is None:
                left_out["empty"] += 1
                continue
            label = answers_of(asking.answers, texts[1]) if columns.label else None
        except ValueError as error:
            raise UserError(f"{asking.where}: {error}") from None
        yield Example(texts, label, asking.group, path, asking.line)


def _flat(path: Path, columns: Columns) -> Iterator[Asking]:
    for line, values in read_rows(path, columns=columns.names()):
        question, context = (values[column] for column in columns.texts)
        group = group_of(values[columns.group], columns.group) if columns.group else None
        yield Asking(place(path, line), line, question, context, values.get(columns.label), group)


def _nested(path: Path, columns: Columns) -> Iterator[Asking] | None:
    """The questions of SQuAD's own layout, or None where the file has another."""
    if not re.search(r"\.json(\.gz|\.bz2|\.xz)?$", path.name):
        return None
    articles = read_json(path)
    articles = articles.get("data", articles) if isinstance(articles, dict) else articles
    articles = [articles] if isinstance(articles, dict) else articles
    if not (isinstance(articles, list) and articles and isinstance(articles[0], dict) and "paragraphs" in articles[0]):
        return None
    return _questions(path, articles)


def _questions(path: Path, articles: Sequence[Any]) -> Iterator[Asking]:
    number = 0
    for article in articles:
        title = article.get("title")
        for paragraph in article.get("paragraphs", ()):
            for asked in paragraph.get("qas", ()):
                number += 1
                where = f"{path}, question {asked.get('id', number)}"
                if "question" not in asked or "context" not in paragraph:
                    raise UserError(f"{where}: needs a 'question', and its paragraph a 'context'")
                answers = [] if asked.get("is_impossible") else asked.get("answers", [])  # not plausible_answers
                yield Asking(where, number, asked["question"], paragraph["context"], answers, title)


def answers_of(value: Any, context: str) -> Answers:
    """Texts and starts, from SQuAD's list of answers or the hub's lists of texts and of starts.

    A text that does not stand at its start is looked for nearest to it.
    """
    if value is None:
        value = []
    if isinstance(value, dict) and isinstance(value.get("text"), str):
        value = [value]
    if isinstance(value, dict):
        starts = value.get("answer_start", [0] * len(value.get("text", ())))
        value = [
            {"text": text, "answer_start": start} for text, start in zip(value.get("text", ()), starts, strict=True)
        ]
    found: Answers = {"text": [], "answer_start": []}
    for answer in value if isinstance(value, list) else [value]:
        if not isinstance(answer, dict) or not isinstance(answer.get("text"), str):
            raise ValueError(f"an answer is {shown(answer)}, not a text and its answer_start")
        text, start = answer["text"], answer.get("answer_start", 0)
        if not text.strip():
            continue
        if not isinstance(start, int) or context[start : start + len(text)] != text or start < 0:
            starts = [match.start() for match in re.finditer(re.escape(text), context)]
            if not starts:
                raise ValueError(f"the context does not hold the answer {shown(text)}")
            wanted = start if isinstance(start, int) else 0
            start = min(starts, key=lambda other: abs(other - wanted))
        found["text"].append(text)
        found["answer_start"].append(start)
    return found
