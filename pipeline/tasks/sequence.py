"""What the kinds share that give one answer to a text, or to a pair of texts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.data import MetricName
from pipeline.tasks import metrics
from pipeline.tasks.base import Asked

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


def encode(batch: dict[str, Any], tokenizer: "PreTrainedTokenizerFast", asked: Asked) -> dict[str, Any]:
    """A text or pair is one sequence, cut at the length; its label goes with it."""
    first, *second = (batch[column] for column in asked.text_columns)
    encoded = tokenizer(first, second[0] if second else None, truncation=True, max_length=asked.max_length)
    columns = {
        "input_ids": encoded["input_ids"],
        "cut": [bool(one.overflowing) for one in encoded.encodings or ()],
    }
    if second and "token_type_ids" in encoded:
        columns["token_type_ids"] = encoded["token_type_ids"]
    if asked.label_column:
        columns["labels"] = batch[asked.label_column]
    return columns


def targets(columns: Mapping[str, Any]) -> "dict[str, Tensor]":
    """`labels` (B,): int64 numbers or float32 scores."""
    import torch  # noqa: PLC0415

    return {"labels": torch.tensor(columns["labels"])} if "labels" in columns else {}


def load(*args: Any, **settings: Any) -> "PreTrainedModel":
    """A sequence classifier, or a regressor with one output."""
    from pipeline.models.loading import load_classifier  # noqa: PLC0415

    return load_classifier(*args, **settings)


def save(*args: Any, **settings: Any) -> None:
    """As `pipeline.models.loading.save_model`."""
    from pipeline.models.loading import save_model  # noqa: PLC0415

    save_model(*args, **settings)


def gold(dataset: "Dataset", label_column: str) -> np.ndarray:
    """(R,) label numbers, int64, or scores, float32."""
    return np.asarray(dataset.with_format("numpy")[label_column][:])


def statistics(answers: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """(R, 2): what was answered, and what is right."""
    return np.stack([answers, gold], axis=1).astype(np.float64)


def details(metric: MetricName, statistics: np.ndarray) -> dict[str, float]:
    """Parts of a metric of `pipeline.tasks.metrics`."""
    return metrics.details(metric, statistics[:, 0], statistics[:, 1])
