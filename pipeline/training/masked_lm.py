"""Masked-LM training and measuring of a backbone (BERT, arXiv:1810.04805, section 3.1)."""

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from pipeline.config.data import MASKED_ACCURACY
from pipeline.config.objectives import MASKED_LM
from pipeline.data.corpus import Corpus
from pipeline.data.masking import mask_tokens
from pipeline.models.collate import Batch, Rows, collate
from pipeline.models.saved_model import special_id
from pipeline.training.batches import GlobalBatch
from pipeline.training.language_model import Blocks

COUNTED = 20_000  # blocks whose tokens are counted for a new head's bias


def start_bias(model: PreTrainedModel, corpus: Corpus, *, special: Collection[int]) -> None:
    """Give the bias of a new masked-LM head the log of each token's share of the corpus, add-half smoothed.

    What a bias of zeros would have to learn first is counted instead (Lin et al., arXiv:1708.02002, section 3.3). A
    bias that is not zero was trained, and stays. At most COUNTED blocks are counted.
    """
    bias = getattr(model.get_output_embeddings(), "bias", None)
    if bias is None or bool(bias.any()):
        return
    counts = np.full(len(bias), 0.5)
    for row in np.unique(np.linspace(0, len(corpus) - 1, min(len(corpus), COUNTED)).astype(int)):
        np.add.at(counts, corpus[int(row)], 1)
    counts[list(special)] = 0.5
    with torch.no_grad():
        bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))


class MaskedBlocks(Blocks):
    """Blocks of a corpus with some tokens masked, other ones in every epoch."""

    objectives, metric, metric_format = MASKED_LM, MASKED_ACCURACY, ".1%"

    def __init__(
        self,
        corpus: Corpus,
        rows: Rows,
        tokenizer: PreTrainedTokenizerFast,
        *,
        vocab_size: int,
        seed: int,
        packed: bool,
        share: float = 0.15,
    ) -> None:
        super().__init__(corpus, rows, packed=packed)
        self.seed, self.share, self.vocab_size = seed, share, vocab_size
        self.pad_id = special_id(tokenizer, "pad_token_id")
        self.mask_id = special_id(tokenizer, "mask_token_id")
        # The first and the last token of a block. [UNK] is a word like others: `predicted_count` counts on it.
        self.special = frozenset({special_id(tokenizer, "cls_token_id"), special_id(tokenizer, "sep_token_id")})

    def masked(self, row: int, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The block with its masks, the chosen positions, and what stood there."""
        block = self.corpus[int(self.rows[row])]
        ids, positions = mask_tokens(
            block,
            key=(self.seed, int(self.rows[row]), epoch),
            mask_id=self.mask_id,
            vocab_size=self.vocab_size,
            special=self.special,
            share=self.share,
        )
        return ids, positions, block[positions]

    def collate(self, rows: Rows, epoch: int) -> Batch:
        found = [self.masked(int(row), epoch) for row in rows]
        batch = collate({"input_ids": [ids for ids, _, _ in found]}, self.pad_id, packed=self.packed)
        masked_BT = torch.zeros_like(batch.input_ids, dtype=torch.bool)
        for row, (_, positions, _) in enumerate(found):
            masked_BT[row, torch.from_numpy(positions)] = True
        masked_ids = torch.from_numpy(np.concatenate([ids for _, _, ids in found]))
        return batch.with_targets(predicted=masked_BT, predicted_ids=masked_ids)

    def predicted_count(self, batch: GlobalBatch) -> int:
        """Masked tokens of a global batch. They follow from the lengths (mask_tokens): no process asks the others."""
        lengths = self.lengths[np.concatenate(batch.micro_batches)]
        return int(np.maximum(1, np.round(self.share * (lengths - 2))).sum())

    def metric_sum(self, logits: Tensor, target_ids: Tensor) -> Tensor:
        return (logits.argmax(dim=-1) == target_ids).sum()

    def metric_from_sum(self, total: float, count: int) -> float:
        """The share of the masked tokens that are found."""
        return total / count


def first_blocks(lengths: np.ndarray, tokens: int) -> int:
    """How many blocks, from the first on, have at most so many tokens together; 0 tokens: all blocks.

    At least two, where there are two: one to train on and one to measure.
    """
    most = int(np.searchsorted(np.cumsum(lengths), tokens, side="right")) if tokens else len(lengths)
    return min(max(2, most), len(lengths))


def split_blocks(count: int, *, held_out: float, seed: int) -> tuple[Rows, Rows]:
    """Blocks to train on and blocks that only measure (at least one where any are asked for)."""
    order = np.random.default_rng([seed, 3]).permutation(count)
    measured = min(count - 1, max(1, round(count * held_out))) if held_out else 0
    return np.sort(order[measured:]), np.sort(order[:measured])
