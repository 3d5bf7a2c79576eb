"""Training and measuring of decoders: each token of a block is predicted from those before it (GPT-2).

Radford et al., Language Models are Unsupervised Multitask Learners (2019), section 2.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from pipeline.config.objectives import CAUSAL_LM
from pipeline.data.corpus import Corpus
from pipeline.models.collate import Batch, Rows, collate
from pipeline.training.batches import GlobalBatch
from pipeline.training.language_model import Blocks

PADDING = 0  # any token: nothing looks at what stands on the right of a block


class CausalBlocks(Blocks):
    """Blocks of a corpus whose tokens are predicted, all but the first, which only begins the block."""

    objectives, metric, metric_format = CAUSAL_LM, "perplexity", ".2f"

    def __init__(self, corpus: Corpus, rows: Rows) -> None:
        super().__init__(corpus, rows, packed=False)  # what decoders take

    def collate(self, rows: Rows, epoch: int) -> Batch:
        blocks = [self.corpus[int(self.rows[row])] for row in rows]
        batch = collate({"input_ids": blocks}, PADDING, packed=self.packed)
        predicted_BT = batch.attention_mask.bool()
        predicted_BT = predicted_BT & pad(predicted_BT[:, 1:], (0, 1))
        next_ids = torch.from_numpy(np.concatenate([block[1:] for block in blocks]))
        return batch.with_targets(predicted=predicted_BT, predicted_ids=next_ids)

    def predicted_count(self, batch: GlobalBatch) -> int:
        return batch.tokens - batch.examples

    def metric_sum(self, logits: Tensor, target_ids: Tensor) -> Tensor:
        """In nats."""
        return cross_entropy(logits.float(), target_ids, reduction="none").double().sum()

    def metric_from_sum(self, total: float, count: int) -> float:
        return perplexity(total, count)


def perplexity(nats: float, tokens: int) -> float:
    """The exponential of the mean cross-entropy of a token. Args: nats: the sum over the tokens."""
    return math.exp(min(nats / max(tokens, 1), 700.0))  # 700: the largest that a float holds


def bits_a_byte(nats: float, size: int) -> float:
    """Bits that a byte of a text costs, which also compares decoders with other tokenizers.

    Args: nats: the cross-entropy of the whole text. size: its bytes.
    """
    return nats / math.log(2) / max(size, 1)
