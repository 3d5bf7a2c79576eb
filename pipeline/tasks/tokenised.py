"""Texts as the token rows that a model reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from pipeline.config.data import Task
from pipeline.models.collate import Inputs, Rows, model_inputs
from pipeline.models.loading import special_id
from pipeline.tasks import kind_of
from pipeline.tasks.base import Asked
from pipeline.training.batches import GlobalBatch


class EncodedTexts:
    """A dataset's texts as the sequences that a model reads, tokenised once.

    Args:
        dataset: has the text columns.
        max_length: tokens of a sequence.
        task: of which kind the texts are, and how they are cut; None: a text or pair is one sequence.
        label_column: whose labels become targets; None: there are none.
        cache: a file for the tokens of large datasets, of this process alone; None: they stay in memory.
    """

    def __init__(
        self,
        dataset: Dataset,
        tokenizer: PreTrainedTokenizerFast,
        *,
        text_columns: Sequence[str],
        max_length: int,
        task: Task | None = None,
        label_column: str | None = None,
        cache: Path | None = None,
    ) -> None:
        task = task or Task()
        self.kind = kind_of(task)
        asked = Asked(text_columns, label_column, task, max_length)

        def encode(batch: dict[str, Any], numbers: list[int]) -> dict[str, Any]:
            columns = self.kind.encode(batch, tokenizer, asked)
            columns["length"] = [len(ids) for ids in columns["input_ids"]]
            rows = columns.get("row")
            columns["row"] = numbers if rows is None else [numbers[row] for row in rows]
            return columns

        self.rows = dataset.map(
            encode,
            batched=True,
            with_indices=True,
            remove_columns=dataset.column_names,
            keep_in_memory=cache is None,
            cache_file_name=str(cache) if cache else None,
            load_from_cache_file=False,
        )
        self.pad_id = special_id(tokenizer, "pad_token_id")
        self.lengths = self._numbers("length")
        self.row = self._numbers("row")
        """The row of the dataset that each sequence is of."""
        self.place = self._numbers("place") if "place" in self.rows.column_names else np.zeros_like(self.row)
        """The number of each sequence among those of its row."""
        self.weights = self._numbers("weight") if "weight" in self.rows.column_names else np.ones_like(self.row)
        """How much each counts in the mean of a loss over outputs: its words that are labelled, or 1."""

    def _numbers(self, column: str) -> np.ndarray:
        return np.asarray(self.rows.with_format("numpy")[column][:], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    def collate(self, rows: Rows) -> Inputs:
        """The model's inputs for some rows, padded to the longest, each (B, T); and their buckets."""
        return model_inputs(self.rows[rows.tolist()], self.pad_id)

    def collate_with_targets(self, rows: Rows) -> Inputs:
        """The same, and beside them what the kind of task needs for its losses, such as `labels`."""
        columns: dict[str, Any] = self.rows[rows.tolist()]
        return model_inputs(columns, self.pad_id) | self.kind.targets(columns)

    def weight(self, batch: GlobalBatch) -> int:
        """What the mean of a loss over the outputs of a global batch is taken over."""
        return int(self.weights[np.concatenate(batch.micro_batches)].sum())

    def bounds(self, rows: Rows) -> np.ndarray:
        """Where the outputs of some sequences begin and end, (len(rows) + 1,), when they lie one after another."""
        return np.r_[0, np.cumsum(self.lengths[rows] if self.kind.per_token else np.ones_like(rows))]

    def piece_counts(self) -> np.ndarray:
        """How often each id occurs, up to the largest that does."""
        counts = np.zeros(0, dtype=np.int64)
        numbers: Any = self.rows.with_format("numpy")
        for begin in range(0, len(self), 10_000):
            found = np.bincount(
                np.concatenate(list(numbers[begin : begin + 10_000]["input_ids"])), minlength=len(counts)
            )
            found[: len(counts)] += counts
            counts = found
        return counts

    def share_cut(self) -> float:
        """Share of the texts that were longer than `max_length`."""
        return float(np.mean(self.rows["cut"])) if len(self) else 0.0
