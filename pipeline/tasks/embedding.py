"""Sentence embeddings: texts that mean the same lie near to each other (semantic search).

The teacher is taken as it is, and the student learns its vectors. Pairs with a score measure how well cosines rank
them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.tasks.base import Tokenising
from pipeline.tasks.regression import RegressionTask
from pipeline.tasks.sequence import SOFT

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast

    from pipeline.tasks.tokenised import TokenisedTexts


class EmbeddingTask(RegressionTask):
    """A vector for each text; pairs are scored by their cosine."""

    name = "embedding"
    metrics = ("spearman", "pearson", "pearson_and_spearman")
    head_class = ""
    label_values = "any"
    learns_labels = False
    soft_form = "vectors"
    trivial_answer = "giving every pair the same score"

    def tokenise(self, rows: dict[str, Any], tokenizer: "PreTrainedTokenizerFast", how: Tokenising) -> dict[str, Any]:
        """Each text is a sequence of its own: both of a pair; of a variant only the one that was varied."""
        varied = [
            {replaced["column"] for replaced in row} or set(how.text_columns)
            for row in rows.get("replaced", [()] * len(rows[how.text_columns[0]]))
        ]
        found = [
            (row, part, rows[column][row])
            for row, columns in enumerate(varied)
            for part, column in enumerate(how.text_columns)
            if column in columns
        ]
        width = len(rows[SOFT][0]) // len(how.text_columns) if SOFT in rows else 0
        encoded = tokenizer([text for _, _, text in found], truncation=True, max_length=how.max_length)
        columns = {
            "input_ids": encoded["input_ids"],
            "cut": [bool(one.overflowing) for one in encoded.encodings or ()],
            "row": [row for row, _, _ in found],
            "part": [part for _, part, _ in found],
        }
        if width:
            columns["soft"] = [rows[SOFT][row][part * width : (part + 1) * width] for row, part, _ in found]
        return columns

    def soft_answer(self, logits: Sequence[float], label_names: tuple[str, ...]) -> float:
        """The cosine of a pair's vectors."""
        first, second = np.split(np.asarray(logits), 2)
        return float(first @ second)

    def soft_target(self, label: Any, logits: Sequence[float] | None, label_names: tuple[str, ...]) -> list[float]:
        """The vectors of both texts, one after the other."""
        return [] if logits is None else np.asarray(logits).tolist()

    def predictions(self, outputs: np.ndarray, texts: "TokenisedTexts", dataset: "Dataset") -> np.ndarray:
        """(R,) the cosine of each pair, from embeddings (N, C) of length 1."""
        first, second = (outputs[texts.part == part] for part in (0, 1))  # in the order of the rows
        return (first * second).sum(axis=1)
