"""What the kinds share that give one answer to a text, or to a pair of texts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.data import MetricName
from pipeline.tasks import metrics
from pipeline.tasks.base import TaskKind, Tokenising

SOFT = "soft_labels"  # a column of `soft_target`, in the rows that a teacher learns

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import BatchEncoding, PreTrainedTokenizerFast


class SequenceTask(TaskKind):
    """A label or a score for each text or pair."""

    head_class = "ForSequenceClassification"

    def tokenise(self, rows: dict[str, Any], tokenizer: "PreTrainedTokenizerFast", how: Tokenising) -> dict[str, Any]:
        """A text or pair is one sequence, cut at the length; its label goes with it as `labels`."""
        first, *second = (rows[column] for column in how.text_columns)
        if second and "" in second[0]:
            columns = _pairs_and_singles(first, second[0], tokenizer, how.max_length)
        else:
            encoded = tokenizer(first, second[0] if second else None, truncation=True, max_length=how.max_length)
            columns = _columns(encoded, segments=bool(second))
        if how.label_column:
            columns["labels"] = rows[how.label_column]
        if SOFT in rows:
            columns["soft"] = rows[SOFT]
        return columns

    def references(self, dataset: "Dataset", label_column: str) -> np.ndarray:
        """(R,) label numbers, int64, or scores, float32."""
        return np.asarray(dataset.with_format("numpy")[label_column][:])

    def statistics(self, predictions: np.ndarray, references: np.ndarray) -> np.ndarray:
        """(R, 2): what was predicted, and what is right."""
        return np.stack([predictions, references], axis=1).astype(np.float64)

    def details(self, metric: MetricName, statistics: np.ndarray) -> dict[str, float]:
        """Parts of a metric of `pipeline.tasks.metrics`."""
        return metrics.details(metric, statistics[:, 0], statistics[:, 1])


def _columns(encoded: "BatchEncoding", *, segments: bool) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "input_ids": encoded["input_ids"],
        "cut": [bool(one.overflowing) for one in encoded.encodings or ()],
    }
    if segments and "token_type_ids" in encoded:
        columns["token_type_ids"] = encoded["token_type_ids"]
    return columns


def _pairs_and_singles(
    first: Sequence[str], second: Sequence[str], tokenizer: "PreTrainedTokenizerFast", max_length: int
) -> dict[str, Any]:
    """Pairs, of which those whose second text is empty are single texts (`task.pair_or_single`)."""
    rows: list[dict[str, Any]] = []
    for text, other in zip(first, second, strict=True):
        encoded = tokenizer([text], [other] if other else None, truncation=True, max_length=max_length)
        rows.append({name: value[0] for name, value in _columns(encoded, segments=True).items()})
    return {name: [row[name] for row in rows] for name in rows[0]}
