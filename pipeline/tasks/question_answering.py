"""Answer a question by a span of a text: SQuAD v1.1 and v2. `pipeline.data.squad` reads the files.

A context that is too long is read in windows that overlap. A question without answers (SQuAD v2) is right when none is
given; where a split holds none of these, an answer is always given.
"""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.data import AugmentData, MetricName, Task
from pipeline.data import squad
from pipeline.data.examples import Columns, Example
from pipeline.data.splits import Splits
from pipeline.errors import UserError
from pipeline.tasks import answer_spans
from pipeline.tasks.base import Span, TaskKind, Tokenising

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast

    from pipeline.tasks.tokenised import TokenisedTexts

LONGEST_LOOKED_AT = 1000  # answers whose tokens are counted
QUESTION_SHARE = 4  # of a window's tokens at most a quarter are the question's


class QuestionAnsweringTask(TaskKind):
    """A span of a text for each question about it."""

    name = "question_answering"
    metrics = ("exact_match_and_f1", "answer_f1", "exact_match")
    head_class = "ForQuestionAnswering"
    label_values = "answers"
    has_label_names = False
    per_token = True
    trivial_answer = "never answering"

    # ---- the rows

    def read(self, path: Path, columns: Columns, left_out: MutableMapping[str, int]) -> Iterator[Example]:
        """SQuAD's nested .json, or tables with a question, a context and its answers a row."""
        return squad.read(path, columns, left_out)

    def parse_label(self, value: Any, columns: Columns) -> Any:
        """Answers as they are: `squad.read` checks them beside their context."""
        return value

    def label_names(self, splits: Splits, known: tuple[str, ...]) -> tuple[str, ...]:
        """None. Raises: UserError where no question of the training rows has an answer."""
        train = splits["train"]
        if train and not any(example.label["text"] for example in train):
            raise UserError(f"{train[0].path}: no question has an answer")
        return ()

    def origin(self, example: Example) -> str:
        """The context: its questions stay in one split."""
        return example.texts[1]

    def feature(self, label_names: tuple[str, ...]) -> dict[str, Any]:
        """Answers as the hub has them."""
        text, start = {"dtype": "string", "_type": "Value"}, {"dtype": "int32", "_type": "Value"}
        return {"text": {"feature": text, "_type": "List"}, "answer_start": {"feature": start, "_type": "List"}}

    def corpus_texts(self, examples: Sequence[Example]) -> Iterable[str]:
        """Questions and contexts, each different one once: a context has several questions."""
        return dict.fromkeys(text for example in examples for text in example.texts)

    def describe(self, splits: Splits) -> list[str]:
        """Questions and contexts."""
        train = splits["train"]
        without = sum(not example.label["text"] for example in train)
        contexts = len({example.texts[1] for example in train})
        return [f"questions in train: {len(train):,} on {contexts:,} contexts; {without:,} without an answer"]

    def answers(self, examples: Sequence[Example]) -> list[str]:
        """Each different answer."""
        rows = [example.label["text"] for example in examples if example.label is not None]
        return list(dict.fromkeys(text for texts in rows for text in texts))

    def resolve(self, task: Task, train: Sequence[Example], tokenizer: "PreTrainedTokenizerFast") -> Task:
        """The longest answer that is looked for: the recipe's, or the training rows'."""
        if task.longest_answer:
            return task
        return replace(task, longest_answer=max(answer_spans.LONGEST_ANSWER, longest_answer(train, tokenizer)))

    # ---- augmentation

    def protected(self, row: Mapping[str, Any], column: str, label_column: str, settings: AugmentData) -> list[Span]:
        """The answers in the context; the question holds none."""
        answers = row[label_column] or {"text": [], "answer_start": []}
        starts = zip(answers["text"], answers["answer_start"], strict=True)
        spans = [(start, start + len(text)) for text, start in starts]
        return [span for span, text in zip(spans, answers["text"], strict=True) if row[column][slice(*span)] == text]

    def realign(self, row: dict[str, Any], text_columns: Sequence[str], label_column: str) -> dict[str, Any]:
        """The answers' starts, moved by what was replaced before them, and checked in the new context."""
        answers, context = row[label_column], text_columns[1]
        if answers is None:
            return row
        moves = [
            (replaced["end"], len(replaced["new"]) - (replaced["end"] - replaced["start"]))
            for replaced in row["replaced"]
            if replaced["column"] == context
        ]
        starts = [start + sum(by for end, by in moves if end <= start) for start in answers["answer_start"]]
        for text, start in zip(answers["text"], starts, strict=True):
            if row[context][start : start + len(text)] != text:
                raise ValueError(f"the answer {text!r} does not stand at {start} of {row[context]!r}")
        return {**row, label_column: {"text": answers["text"], "answer_start": starts}}

    # ---- tokens

    def tokenise(self, rows: dict[str, Any], tokenizer: "PreTrainedTokenizerFast", how: Tokenising) -> dict[str, Any]:
        """A question with its context is one window, or several that overlap.

        `begin` and `end` are each token's characters of the context, -1 elsewhere. `start_token` and `end_token` are
        those of the first answer, or 0, the first token of the window, where it has none of it.
        """
        question_column, context_column = how.text_columns
        longest = max(1, how.max_length // QUESTION_SHARE)
        questions = [cut_text(tokenizer, text.strip(), longest) for text in rows[question_column]]
        encoded = tokenizer(
            questions,
            rows[context_column],
            truncation="only_second",
            max_length=how.max_length,
            stride=window_overlap(how.task, how.max_length),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        row_of: list[int] = encoded["overflow_to_sample_mapping"]
        columns: dict[str, Any] = {
            "input_ids": encoded["input_ids"],
            "row": row_of,
            "part": [part for _, group in groupby(row_of) for part, _ in enumerate(group)],
            "cut": [questions[row] != rows[question_column][row].strip() for row in row_of],
        }
        if "token_type_ids" in encoded:
            columns["token_type_ids"] = encoded["token_type_ids"]
        windows = [
            [span if part == 1 else (-1, -1) for span, part in zip(offsets, one.sequence_ids, strict=True)]
            for offsets, one in zip(encoded["offset_mapping"], encoded.encodings or (), strict=True)
        ]
        columns["begin"] = [[begin for begin, _ in spans] for spans in windows]
        columns["end"] = [[end for _, end in spans] for spans in windows]
        if how.label_column:
            found = []
            for row, group in groupby(zip(row_of, windows, strict=True), itemgetter(0)):
                found += answer_tokens([spans for _, spans in group], rows[how.label_column][row])
            columns["start_token"], columns["end_token"] = map(list, zip(*found, strict=True))
        return columns

    # ---- scores

    def references(self, dataset: "Dataset", label_column: str) -> list[list[str]]:
        """The right answers of each row."""
        return answer_spans.right_answers(dataset[label_column])

    def predictions(self, outputs: np.ndarray, texts: "TokenisedTexts", dataset: "Dataset") -> list[str]:
        """The best span of all windows of each row."""
        return answer_spans.best_answers(outputs, texts, dataset)

    def prediction_columns(
        self, predictions: Sequence[str], outputs: np.ndarray, label_names: tuple[str, ...]
    ) -> dict[str, list]:
        """Answers."""
        return {"": list(predictions)}

    def statistics(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
        """(R, 3): exact match, F1, and whether no answer is right."""
        return answer_spans.statistics(predictions, references)

    def details(self, metric: MetricName, statistics: np.ndarray) -> dict[str, float]:
        """Means over rows, as SQuAD's scripts compute them (there times 100)."""
        parts = {"exact_match": float(statistics[:, 0].mean()), "answer_f1": float(statistics[:, 1].mean())}
        return parts if metric == "exact_match_and_f1" else {metric: parts[metric]}

    def beats_trivial(self, metric: MetricName, statistics: np.ndarray) -> bool:
        """Whether F1 is larger than that of never answering."""
        return bool(statistics[:, 1].mean() > statistics[:, 2].mean())

    def agreement(self, theirs: Sequence[str], ours: Sequence[str]) -> float:
        """Share of the rows with the same answer."""
        return float(np.mean([answer_spans.exact_match(a, b) for a, b in zip(theirs, ours, strict=True)]))

    def student_config(self, splits: Splits, task: Task) -> dict[str, Any]:
        """How answers are looked for, as in evaluation.

        `always_answers`: whether every question of the task has an answer; then one is always given.
        """
        labels = [example.label for examples in splits.values() for example in examples if example.label is not None]
        always = all(label["text"] for label in labels)
        overlap = window_overlap(task, task.max_length)
        return {"always_answers": always, "longest_answer": task.longest_answer, "window_overlap": overlap}


def window_overlap(task: Task, max_length: int) -> int:
    """Tokens that a window shares with the next one; fewer than the recipe says where windows are short."""
    question = max(1, max_length // QUESTION_SHARE)
    return min(task.window_overlap, (max_length - question - 4) // 2)


def longest_answer(examples: Sequence[Example], tokenizer: "PreTrainedTokenizerFast") -> int:
    """Tokens of the longest answer; of many answers those with the most characters are looked at."""
    rows = [example.label["text"] for example in examples if example.label is not None]
    answers = {text for texts in rows for text in texts}
    longest = sorted(answers, key=len, reverse=True)[:LONGEST_LOOKED_AT]
    encoded = tokenizer(longest, add_special_tokens=False)["input_ids"] if longest else []
    return max(map(len, encoded), default=0)


def cut_text(tokenizer: "PreTrainedTokenizerFast", text: str, tokens: int) -> str:
    """The beginning of a text that is so many tokens long."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return first_tokens(text, offsets, tokens)


def first_tokens(text: str, offsets: Sequence[Span], tokens: int) -> str:
    """So many tokens of a text, from where its tokens stand."""
    return text if len(offsets) <= tokens else text[: offsets[tokens - 1][1]]


def answer_tokens(windows: Sequence[Sequence[Span]], answers: squad.Answers) -> list[tuple[int, int]]:
    """For each window of a context the tokens at which the first answer begins and ends.

    (0, 0) where the window does not hold all of it. Characters that are in no token of any window (an accent that is
    taken off, a blank, a zero-width character) are no part of it.
    """
    if not answers["text"]:
        return [(0, 0)] * len(windows)
    begin = answers["answer_start"][0]
    end = begin + len(answers["text"][0])
    inside = [
        [number for number, (first, last) in enumerate(spans) if first < end and begin < last] for spans in windows
    ]
    pieces = [spans[number] for spans, numbers in zip(windows, inside, strict=True) for number in numbers]
    return [
        (numbers[0], numbers[-1])
        if numbers and spans[numbers[0]] == min(pieces) and spans[numbers[-1]] == max(pieces)
        else (0, 0)
        for spans, numbers in zip(windows, inside, strict=True)
    ]
