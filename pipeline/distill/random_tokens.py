"""Random tokens in the texts from which a student learns layers.

The texts of a task hold a part of the vocabulary alone, and its variants not much more. A student that never reads the
other pieces has only its start to know them by, and a new text may hold them: names are often new words. Layers are
learnt without labels, so any text teaches them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from pipeline.models.collate import Rows


class RandomTokens:
    """Replaces some tokens of a text by random ones of the vocabulary, others in every epoch.

    The same row gives the same tokens in every process.

    Args:
        tokenizer: its special tokens neither go nor come.
        share: of the other tokens, how many are replaced, in the mean.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, share: float, seed: int) -> None:
        self.share, self.seed = share, seed
        self.is_special = np.zeros(len(tokenizer), dtype=bool)
        self.is_special[tokenizer.all_special_ids] = True
        self.ordinary = np.flatnonzero(~self.is_special)

    def read_counts(self, counts: np.ndarray) -> np.ndarray:
        """How often each id may be read, (V,): as often as in the texts, and each ordinary one once.

        Args: counts: how often each id occurs in the texts, 0 for those beyond its end.
        """
        read = (~self.is_special).astype(counts.dtype)
        read[: len(counts)] += counts
        return read

    def put_into(self, columns: Mapping[str, Any], rows: Rows, epoch: int) -> Mapping[str, Any]:
        """The columns of some texts, by number, with random tokens."""
        texts = zip(columns["input_ids"], rows, strict=True)
        drawn = [self.replaced(np.asarray(ids), row=int(row), epoch=epoch) for ids, row in texts]
        return {**columns, "input_ids": drawn}

    def replaced(self, ids: np.ndarray, *, row: int, epoch: int) -> np.ndarray:
        """The tokens (T,) of one text."""
        random = np.random.default_rng([self.seed, row, epoch])
        kept = self.is_special[ids] | (random.random(len(ids)) >= self.share)
        return np.where(kept, ids, random.choice(self.ordinary, size=len(ids)))
