"""From start and end logits to answers, and how right these are: exact match and F1, as SQuAD's scripts have them.

Legend: T tokens of a window, R rows of a split.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.tasks.base import Span

if TYPE_CHECKING:
    from datasets import Dataset

    from pipeline.tasks.tokenised import TokenisedTexts

BEST = 20  # starts and ends of a window that are paired
LONGEST_ANSWER = 30  # tokens, at least, unless the recipe says another number


def best_answers(outputs: np.ndarray, texts: "TokenisedTexts", dataset: "Dataset") -> list[str]:
    """The best span over all windows of a row; empty where 'no answer' scores higher and the split has questions
    without an answer."""
    context_column, label_column = _columns(dataset)
    rows = texts.rows
    none_may_be = any(not answers["text"] for answers in dataset[label_column] if answers is not None)
    bounds = texts.bounds(np.arange(len(texts)))
    best: list[tuple[float, Span]] = [(-np.inf, (0, 0))] * len(dataset)
    no_answer = np.full(len(dataset), np.inf)
    for number, (begins, ends) in enumerate(zip(rows["begin"], rows["end"], strict=True)):
        logits, row = outputs[bounds[number] : bounds[number + 1]], texts.row[number]
        no_answer[row] = min(no_answer[row], logits[0].sum())
        found = best_span(logits, np.asarray(begins), np.asarray(ends), longest=texts.task.longest_answer)
        best[row] = max(best[row], found)
    contexts = dataset[context_column]
    return [
        "" if none_may_be and no_answer[row] > score else contexts[row][slice(*span)]
        for row, (score, span) in enumerate(best)
    ]


def best_span(
    logits_T2: np.ndarray, begins: np.ndarray, ends: np.ndarray, *, longest: int | None = None
) -> tuple[float, Span]:
    """The largest sum of a start and an end logit of a window, and the characters that it takes from the context.

    Args: longest: tokens of the longest span; None: LONGEST_ANSWER.
    """
    context = np.flatnonzero(begins >= 0)
    if not len(context):
        return -np.inf, (0, 0)
    first, last = (context[np.argsort(-logits_T2[context, side], kind="stable")[:BEST]] for side in (0, 1))
    possible = (first[:, None] <= last) & (last - first[:, None] < (longest or LONGEST_ANSWER))
    sums = np.where(possible, logits_T2[first, 0][:, None] + logits_T2[last, 1], -np.inf)
    start, end = np.unravel_index(sums.argmax(), sums.shape)
    return float(sums[start, end]), (int(begins[first[start]]), int(ends[last[end]]))


def _columns(dataset: "Dataset") -> tuple[str, str]:
    """The column of the context, the second of text, and that of the answers."""
    is_text = {name: getattr(feature, "dtype", None) == "string" for name, feature in dataset.features.items()}
    label = next(name for name, feature in dataset.features.items() if isinstance(feature, dict))
    return [name for name in is_text if is_text[name]][1], label


def normalized(text: str) -> str:
    """Lower case, without punctuation, articles and spaces too many, as SQuAD's script compares answers."""
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact_match(answer: str, right: str) -> float:
    """1 where both are the same but for what `normalized` takes away."""
    return float(normalized(answer) == normalized(right))


def token_f1(answer: str, right: str) -> float:
    """F1 of the words of both; where one of them is empty, whether both are."""
    ours, theirs = normalized(answer).split(), normalized(right).split()
    if not ours or not theirs:
        return float(ours == theirs)
    same = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * same / (len(ours) + len(theirs))


def right_answers(labels: Sequence[dict[str, list]]) -> list[list[str]]:
    """The right answers of each row; one that is empty where there is none (or none but articles)."""
    return [[text for text in answers["text"] if normalized(text)] or [""] for answers in labels]


def statistics(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """(R, 3): exact match and F1, each with the best of the right answers, and whether no answer is right."""
    found = [
        (
            max(exact_match(answer, right) for right in rights),
            max(token_f1(answer, right) for right in rights),
            float(rights == [""]),
        )
        for answer, rights in zip(predictions, references, strict=True)
    ]
    return np.array(found, dtype=np.float64).reshape(-1, 3)
