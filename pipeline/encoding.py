"""Texts as the token rows that a model reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from pipeline.batches import Rows, model_inputs
from pipeline.models import special_id


class EncodedTexts:
    """A dataset's texts (or pairs), tokenised once and cut at `max_length`.

    Args:
        dataset: has the text columns.
        cache: a file for the tokens of large datasets, of this process alone; None: they stay in memory.
    """

    def __init__(
        self,
        dataset: Dataset,
        tokenizer: PreTrainedTokenizerFast,
        *,
        text_columns: Sequence[str],
        max_length: int,
        cache: Path | None = None,
    ) -> None:
        pair = len(text_columns) > 1

        def encode(batch: dict[str, list[str]]) -> dict[str, Any]:
            first, *second = (batch[column] for column in text_columns)
            encoded = tokenizer(first, second[0] if second else None, truncation=True, max_length=max_length)
            columns = {
                "input_ids": encoded["input_ids"],
                "length": [len(ids) for ids in encoded["input_ids"]],
                "cut": [bool(one.overflowing) for one in encoded.encodings or ()],
            }
            if pair and "token_type_ids" in encoded:
                columns["token_type_ids"] = encoded["token_type_ids"]
            return columns

        self.rows = dataset.map(
            encode,
            batched=True,
            remove_columns=dataset.column_names,
            keep_in_memory=cache is None,
            cache_file_name=str(cache) if cache else None,
            load_from_cache_file=False,
        )
        self.pad_id = special_id(tokenizer, "pad_token_id")
        self.lengths = np.asarray(self.rows.with_format("numpy")["length"][:], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    def collate(self, rows: Rows) -> dict[str, Tensor]:
        """The model's inputs for some rows, padded to the longest, each (B, T)."""
        return model_inputs(self.rows[rows.tolist()], self.pad_id)

    def share_cut(self) -> float:
        """Share of the texts that were longer than `max_length`."""
        return float(np.mean(self.rows["cut"])) if len(self) else 0.0
