"""What a model's outputs for one text say: a label, a score, the tags of its words, or a span of it.

Legend: T tokens, C labels.
"""

from typing import Any

import numpy as np
from tokenizers import Encoding

from pipeline.errors import UserError

LONGEST_ANSWER = 30  # tokens, as SQuAD's scripts have it
Outputs = dict[str, np.ndarray]


def answer(outputs: Outputs, encoding: Encoding, texts: tuple[str, ...], config: dict[str, Any]) -> dict[str, Any]:
    """The answer, by which outputs there are: `logits` (C,) or (T, C), or `start_logits` and `end_logits` (T,).

    Raises: UserError for a model that gives others.
    """
    if {"start_logits", "end_logits"} <= outputs.keys():
        return span(outputs, encoding, texts[-1])
    logits = outputs.get("logits")
    names = config.get("id2label") or {}
    if logits is None or logits.shape[-1] != (len(names) or 2):  # config.json leaves out two labels without names
        raise UserError(
            f"the model gives {', '.join(outputs)}, which are no answers; give a student that classifies, scores, tags"
            " or finds answers"
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
    """Each word of the text with the label of its first piece, as in training."""
    found: dict[int, tuple[int, int, int]] = {}
    for token, (word, (begin, end)) in enumerate(zip(encoding.word_ids, encoding.offsets, strict=True)):
        if word is not None:
            first, start, _ = found.get(word, (token, begin, end))
            found[word] = (first, start, end)
    words = []
    for first, begin, end in found.values():
        shares = softmax(logits_TC[first])
        best = int(shares.argmax())
        words.append({"word": text[begin:end], "label": labels[best], "probability": float(shares[best])})
    return words


def span(outputs: Outputs, encoding: Encoding, context: str) -> dict[str, Any]:
    """The most probable span of the context, its place in characters; empty where the model points at [CLS]."""
    real = np.asarray(encoding.attention_mask, dtype=bool)
    inside = np.asarray([number == 1 for number in encoding.sequence_ids])
    allowed = inside | (np.arange(len(real)) == 0)
    start, end = (softmax(np.where(allowed, outputs[name], -np.inf)) for name in ("start_logits", "end_logits"))
    both = np.triu(np.outer(start, end)) - np.triu(np.outer(start, end), LONGEST_ANSWER)
    both[0, 1:] = 0  # from [CLS] only to [CLS]
    first, last = (int(place) for place in np.unravel_index(both.argmax(), both.shape))
    begin, stop = (encoding.offsets[first][0], encoding.offsets[last][1]) if first else (0, 0)
    return {"answer": context[begin:stop], "start": begin, "end": stop, "probability": float(both[first, last])}


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, float64."""
    powers = np.exp(logits - logits.max(), dtype=np.float64)
    return powers / powers.sum()
