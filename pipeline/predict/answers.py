"""From a model's outputs for a text to its answer: labels, a score, the tags of the words, or a span of the text.

Legend: T tokens, C labels.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Encoding

from pipeline.errors import UserError, require
from pipeline.tasks.answer_spans import best_span
from pipeline.tasks.classification import softmax
from pipeline.tasks.label_sets import sigmoid
from pipeline.tasks.words import word_spans, words_started

Arrays = dict[str, np.ndarray]
Texts = tuple[str, ...]  # one text, or a pair


class Window(NamedTuple):
    """A sequence of tokens that the model read."""

    outputs: Arrays  # by name, such as `logits`
    encoding: Encoding


class Reading(NamedTuple):
    """What the model read, and what it gave for it."""

    texts: Texts
    windows: Sequence[Window]  # more than one only where the answer is a span of a long text


def answer(reading: Reading, texts: Texts, config: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of a model for a text, or a pair.

    The names of the outputs say which kind it is: `logits`, (C,) or (T, C), or `start_logits` and `end_logits`, (T,).

    Args:
        texts: as the user gave them.
        config: the content of config.json.
    Raises: UserError for a model with other outputs, or another number of labels.
    """
    outputs = reading.windows[0].outputs
    if {"start_logits", "end_logits"} <= outputs.keys():
        longest = config.get("longest_answer")
        return span(reading, always=bool(config.get("always_answers")), longest=longest)
    logits = outputs.get("logits")
    names = config.get("id2label") or {}
    if logits is None or (not names and logits.shape[-1] != 2):  # config.json leaves out two labels without names
        raise UserError(
            f"the model gives {', '.join(outputs)}, which are no answers; give a student that classifies, scores, tags"
            " or finds answers (one that embeds texts is loaded by sentence-transformers)"
        )
    require(
        not names or logits.shape[-1] == len(names),
        f"the model gives {logits.shape[-1]} logits, and config.json names {len(names)} labels; take both from the same"
        " student",
    )
    labels = [str(names.get(str(number), f"LABEL_{number}")) for number in range(logits.shape[-1])]
    if logits.ndim == 2:
        return {"words": tags(reading, texts[0], labels)}
    if config.get("problem_type") == "regression" or len(labels) == 1:
        return {"score": float(logits[0])}
    if config.get("problem_type") == "multi_label_classification":
        return above_thresholds(dict(zip(labels, sigmoid(logits).tolist(), strict=True)), config)
    probabilities = dict(zip(labels, softmax(logits).tolist(), strict=True))
    return most_probable(probabilities) | {"probabilities": probabilities}


def above_thresholds(probabilities: Mapping[str, float], config: Mapping[str, Any]) -> dict[str, Any]:
    """The labels whose probabilities are above the thresholds that dev chose, or 0.5; most probable first."""
    thresholds = config.get("thresholds") or {}
    given = [name for name, probability in probabilities.items() if probability > thresholds.get(name, 0.5)]
    return {"labels": sorted(given, key=lambda name: -probabilities[name]), "probabilities": dict(probabilities)}


def most_probable(probabilities: Mapping[str, float]) -> dict[str, Any]:
    """The label with the largest probability, the first of equals."""
    label = max(probabilities, key=lambda name: probabilities[name])
    return {"label": label, "probability": probabilities[label]}


def tags(reading: Reading, text: str, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Each word that the model read, its characters in the text, and the label of its first token, as in evaluation.

    Args: text: as the user wrote it; in the reading a single blank parts two words.
    """
    window, parted = reading.windows[0], reading.texts[0]
    spans, end = [], 0
    for first, last in word_spans(parted):
        start = text.index(parted[first:last], end)
        end = start + last - first
        spans.append((start, end))
    probabilities_TC = softmax(window.outputs["logits"])
    words = []
    for number, probabilities_C in zip(words_started(parted, window.encoding.offsets), probabilities_TC, strict=True):
        if number >= 0:
            start, end = spans[number]
            word = {"word": text[start:end], "start": start, "end": end}
            words.append(word | most_probable(dict(zip(labels, probabilities_C.tolist(), strict=True))))
    return words


def span(reading: Reading, *, always: bool = False, longest: int | None = None) -> dict[str, Any]:
    """The best span of the context in any window, as in evaluation; empty where [CLS] is better in all of them.

    Args:
        always: never empty, for where every question of the task has an answer.
        longest: tokens of the longest answer; None: as many as `best_span` takes.
    """
    none, best = np.inf, (-np.inf, (0, 0), 0)
    for number, (outputs, encoding) in enumerate(reading.windows):
        logits_T2 = np.stack([outputs["start_logits"], outputs["end_logits"]], axis=1)
        parts = zip(encoding.sequence_ids, encoding.offsets, strict=True)
        begins, ends = np.array([offsets if part == 1 else (-1, -1) for part, offsets in parts]).T
        none = min(none, float(logits_T2[0].sum()))
        best = max(best, (*best_span(logits_T2, begins, ends, longest=longest), number))
    if always and best[0] > -np.inf:
        none = -np.inf
    score, (begin, end), number = (none, (0, 0), 0) if none > best[0] else best
    outputs, encoding = reading.windows[number]
    allowed = [token == 0 or part == 1 for token, part in enumerate(encoding.sequence_ids)]
    logits = [outputs[name][allowed].astype(np.float64) for name in ("start_logits", "end_logits")]
    all_spans = sum(float(np.logaddexp.reduce(of_tokens)) for of_tokens in logits)
    probability = float(np.exp(score - all_spans))
    return {"answer": reading.texts[-1][begin:end], "start": begin, "end": end, "probability": probability}
