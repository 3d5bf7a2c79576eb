"""What a model's outputs for one text say: a label, a score, the tags of its words, or a span of it.

Legend: T tokens, C labels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from tokenizers import Encoding

from pipeline.errors import UserError
from pipeline.tasks.answer_spans import best_span

Outputs = dict[str, np.ndarray]
Seen = tuple[Outputs, Encoding]
"""What a model says of one sequence of tokens, and that sequence."""


def answer(windows: Sequence[Seen], texts: tuple[str, ...], config: dict[str, Any]) -> dict[str, Any]:
    """The answer, by which outputs there are: `logits` (C,) or (T, C), or `start_logits` and `end_logits` (T,).

    Args: windows: of the text; more than one only where the answer is a span of it.

    Raises: UserError for a model that gives others.
    """
    outputs, encoding = windows[0]
    if {"start_logits", "end_logits"} <= outputs.keys():
        return span(windows, texts[-1], always=bool(config.get("always_answers")))
    logits = outputs.get("logits")
    names = config.get("id2label") or {}
    if logits is None or logits.shape[-1] != (len(names) or 2):  # config.json leaves out two labels without names
        raise UserError(
            f"the model gives {', '.join(outputs)}, which are no answers; give a student that classifies, scores, tags"
            " or finds answers (one that embeds texts is loaded by sentence-transformers)"
        )
    labels = [str(names.get(str(number), f"LABEL_{number}")) for number in range(logits.shape[-1])]
    if logits.ndim == 2:
        return {"words": tags(logits, encoding, texts[0], labels)}
    if config.get("problem_type") == "regression" or len(labels) == 1:
        return {"score": float(logits[0])}
    shares = softmax(logits)
    best = int(shares.argmax())
    return {
        "label": labels[best],
        "probability": float(shares[best]),
        "probabilities": dict(zip(labels, shares.tolist(), strict=True)),
    }


def tags(logits_TC: np.ndarray, encoding: Encoding, text: str, labels: list[str]) -> list[dict[str, Any]]:
    """Each word, its characters in the text, and the label of its first piece.

    Words are what the tokenizer parts: in running text punctuation is a word of its own, as in the labelled data of
    most taggers. (What blanks part is a word in training.)
    """
    found: dict[int, tuple[int, int, int]] = {}
    for token, (word, (begin, end)) in enumerate(zip(encoding.word_ids, encoding.offsets, strict=True)):
        if word is not None:
            first, start, _ = found.get(word, (token, begin, end))
            found[word] = (first, start, end)
    words = []
    for first, begin, end in found.values():
        shares = softmax(logits_TC[first])
        best = int(shares.argmax())
        word = {"word": text[begin:end], "start": begin, "end": end}
        words.append(word | {"label": labels[best], "probability": float(shares[best])})
    return words


def span(windows: Sequence[Seen], context: str, *, always: bool = False) -> dict[str, Any]:
    """The best span of the context in any window, as in evaluation; empty where [CLS] is better in all of them.

    Args: always: never empty, for where every question of the task has an answer.
    """
    none, best = np.inf, (-np.inf, (0, 0), 0)
    for number, (outputs, encoding) in enumerate(windows):
        logits_T2 = np.stack([outputs["start_logits"], outputs["end_logits"]], axis=1)
        places = zip(encoding.sequence_ids, encoding.offsets, strict=True)
        begins, ends = np.array([place if of == 1 else (-1, -1) for of, place in places]).T
        none, best = min(none, float(logits_T2[0].sum())), max(best, (*best_span(logits_T2, begins, ends), number))
    if always and best[0] > -np.inf:
        none = -np.inf
    score, (begin, end), number = (none, (0, 0), 0) if none > best[0] else best
    outputs, encoding = windows[number]
    allowed = [place == 0 or of == 1 for place, of in enumerate(encoding.sequence_ids)]
    all_spans = sum(log_sum(outputs[name][allowed]) for name in ("start_logits", "end_logits"))
    return {"answer": context[begin:end], "start": begin, "end": end, "probability": float(np.exp(score - all_spans))}


def log_sum(logits: np.ndarray) -> float:
    """The logarithm of the sum of the exponentials."""
    return float(np.logaddexp.reduce(logits.astype(np.float64)))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, float64."""
    powers = np.exp(logits - logits.max(), dtype=np.float64)
    return powers / powers.sum()
