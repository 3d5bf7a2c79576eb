"""Rows of a task as datasets, and as the token sequences that a model reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset, DatasetDict, Features

from pipeline.config.data import Task
from pipeline.models.saved_model import special_id
from pipeline.tasks import kind_of
from pipeline.tasks.base import Tokenising
from pipeline.tasks.labelled_data import TaskData
from pipeline.tasks.task_columns import ID

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PIECES_BATCH = 10_000  # sequences whose pieces are counted at once


def as_datasets(data: TaskData) -> DatasetDict:
    """Every split as a Dataset with the task's own columns.

    Features: each text column string; the label column as the kind of task has it (ClassLabel, float32, ...), None in
    unlabelled rows; `id` int64, the row's position in its split.
    """
    string, integer = {"dtype": "string", "_type": "Value"}, {"dtype": "int64", "_type": "Value"}
    label = {data.label_column: data.kind.feature(data.label_names)}
    features = Features.from_dict(dict.fromkeys(data.text_columns, string) | label | {ID: integer})
    datasets = DatasetDict()
    for split, examples in data.splits.items():
        columns: dict[str, Sequence[object]] = {
            column: [example.texts[side] for example in examples] for side, column in enumerate(data.text_columns)
        }
        columns[data.label_column] = [data.kind.column_value(example.label, data.label_numbers) for example in examples]
        columns[ID] = range(len(examples))
        datasets[split] = Dataset.from_dict(columns, features=features)
    return datasets


class TokenisedTexts:
    """A dataset's texts as the sequences that a model reads, tokenised once.

    Args:
        dataset: has the text columns.
        max_length: tokens of a sequence.
        task: its kind, and how texts are cut; None: a text or pair is one sequence.
        label_column: whose labels become targets; None: there are none.
        cache: a file for the tokens of large datasets, of this process alone; None: they stay in memory.
    """

    def __init__(
        self,
        dataset: Dataset,
        tokenizer: "PreTrainedTokenizerFast",
        *,
        text_columns: Sequence[str],
        max_length: int,
        task: Task | None = None,
        label_column: str | None = None,
        cache: Path | None = None,
    ) -> None:
        self.task = task = task or Task()
        self.kind = kind_of(task)
        how = Tokenising(text_columns, label_column, task, max_length, _label_count(dataset, label_column))

        def tokenise(batch: dict[str, Any], numbers: list[int]) -> dict[str, Any]:
            columns = self.kind.tokenise(batch, tokenizer, how)
            columns["length"] = [len(ids) for ids in columns["input_ids"]]
            rows = columns.get("row")
            columns["row"] = numbers if rows is None else [numbers[row] for row in rows]
            return columns

        self.rows = dataset.map(
            tokenise,
            batched=True,
            with_indices=True,
            remove_columns=dataset.column_names,
            try_original_type=False,  # a column of tokens may have the name of one of the dataset
            keep_in_memory=cache is None,
            cache_file_name=str(cache) if cache else None,
            load_from_cache_file=False,
        )
        self.pad_id = special_id(tokenizer, "pad_token_id")
        self.lengths = self._numbers("length")
        self.row = self._numbers("row")
        """The row of the dataset that each sequence is of."""
        self.part = self._numbers("part") if "part" in self.rows.column_names else np.zeros_like(self.row)
        """The number of each sequence among those of its row."""
        self.weights = self._numbers("weight") if "weight" in self.rows.column_names else np.ones_like(self.row)
        """How much each counts in the mean of a loss over outputs: its words that are labelled, or 1."""

    def _numbers(self, column: str) -> np.ndarray:
        return np.asarray(self.rows.with_format("numpy")[column][:], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    def columns(self, numbers: np.ndarray) -> Mapping[str, Any]:
        """The columns of some sequences, by number."""
        return self.rows[numbers.tolist()]

    def model_inputs(self) -> list[str]:
        """The names of what a model takes of these texts."""
        names = ["input_ids", "attention_mask"]
        return [*names, "token_type_ids"] if "token_type_ids" in self.rows.column_names else names

    def bounds(self, numbers: np.ndarray) -> np.ndarray:
        """Where the outputs of some sequences begin and end, (len(numbers) + 1,), when they lie one after another."""
        return np.r_[0, np.cumsum(self.lengths[numbers] if self.kind.per_token else np.ones_like(numbers))]

    def piece_counts(self) -> np.ndarray:
        """How often each id occurs, up to the largest that does."""
        counts = np.zeros(0, dtype=np.int64)
        numbers: Any = self.rows.with_format("numpy")
        for begin in range(0, len(self), PIECES_BATCH):
            ids = np.concatenate(list(numbers[begin : begin + PIECES_BATCH]["input_ids"]))
            found = np.bincount(ids, minlength=len(counts))
            found[: len(counts)] += counts
            counts = found
        return counts

    def share_cut(self) -> float:
        """Share of the texts that were cut, in windows of a question of the questions."""
        first = self.part == 0
        return float(np.mean(self._numbers("cut")[first])) if len(self) else 0.0

    def share_changed(self, other: "TokenisedTexts", numbers: np.ndarray) -> float:
        """Share of the rows whose texts another tokenizer cuts otherwise. Args: numbers: the ids here of its ids."""
        ours, theirs = self._ids_by_row(), other._ids_by_row()
        same = [mine == numbers[ids].tolist() for mine, ids in zip(ours, theirs, strict=True)]
        return 1 - float(np.mean(same))

    def _ids_by_row(self) -> list[list[int]]:
        found: list[list[int]] = [[] for _ in range(int(self.row.max(initial=-1)) + 1)]
        for row, ids in zip(self.row, self.rows["input_ids"][:], strict=True):
            found[row] += ids
        return found


def _label_count(dataset: Dataset, label_column: str | None) -> int:
    """How many labels a column of lists of labels knows; 0 where it holds none."""
    feature: Any = dataset.features[label_column] if label_column else None
    return getattr(getattr(feature, "feature", None), "num_classes", 0)
