"""Training and measuring of decoders: each token of a block is predicted from those before it (GPT-2).

Radford et al., Language Models are Unsupervised Multitask Learners (2019), section 2.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pipeline.data.corpus import Corpus
from pipeline.losses.tinybert import label_loss
from pipeline.models.collate import Batch, Rows, collate
from pipeline.runtime.stage import Stage
from pipeline.training.batches import GlobalBatch, cut_into_micro_batches
from pipeline.training.masked_lm import MaskedLM

PADDING = 0  # any token: nothing looks at what stands on the right of a block


class CausalBlocks:
    """Blocks of a corpus whose tokens are predicted, all but the first, which only begins the block.

    The targets have the names that `MaskedBlocks` gives them: `masked` marks where a prediction is made.

    Args: rows: the blocks it draws from.
    """

    packed = False  # what decoders take

    def __init__(self, corpus: Corpus, rows: Rows) -> None:
        self.corpus, self.rows = corpus, rows
        self.lengths = corpus.lengths[rows]

    def collate(self, rows: Rows, epoch: int) -> Batch:
        """A batch with `masked` (B, T) bool and `masked_ids`, the token after each of them, in their order."""
        blocks = [self.corpus[int(self.rows[row])] for row in rows]
        batch = collate({"input_ids": blocks}, PADDING, packed=self.packed)
        predicted_BT = batch.attention_mask.bool()
        predicted_BT = predicted_BT & torch.nn.functional.pad(predicted_BT[:, 1:], (0, 1))
        next_ids = torch.from_numpy(np.concatenate([block[1:] for block in blocks]))
        return batch.with_targets(masked=predicted_BT, masked_ids=next_ids)

    def loss(self, model: nn.Module, batch: Batch, global_batch: GlobalBatch) -> dict[str, Tensor]:
        """Cross-entropy of the next tokens, a mean over those of the whole global batch."""
        count = self.masked_count(global_batch)
        return {"causal_lm": label_loss(model(batch), batch.targets["masked_ids"], examples=count)}

    def masked_count(self, batch: GlobalBatch) -> int:
        """Predicted tokens of a global batch."""
        return batch.tokens - batch.examples


class TextLoss(NamedTuple):
    """How well a decoder predicts texts."""

    nats: float  # the cross-entropy, summed over the predicted tokens
    right: int  # predicted tokens that it gives the highest probability
    tokens: int  # that are predicted

    @property
    def perplexity(self) -> float:
        """The exponential of the mean cross-entropy of a token."""
        return math.exp(min(self.nats / max(self.tokens, 1), 700.0))  # 700: the largest that a float holds

    @property
    def accuracy(self) -> float:
        return self.right / max(self.tokens, 1)

    def bits_a_byte(self, size: int) -> float:
        """Bits that a byte of the text costs, which also compares decoders with other tokenizers.

        Args: size: bytes of the text.
        """
        return self.nats / math.log(2) / max(size, 1)


def text_loss(model: MaskedLM, blocks: CausalBlocks, stage: Stage, *, tokens: int) -> TextLoss:
    """How well a decoder predicts all blocks, each process taking its share. Args: tokens: at once, with padding."""
    model.eval()
    sums = torch.zeros(3, dtype=torch.float64)
    batches = cut_into_micro_batches(np.arange(len(blocks.rows)), blocks.lengths, tokens, packed=blocks.packed)
    with torch.inference_mode(), stage.autocast():
        for number in stage.shares(len(batches)):
            batch = blocks.collate(batches[number], 0).to(stage.accelerator.device)
            wanted, logits = batch.targets["masked_ids"], model(batch).float()
            nats = cross_entropy(logits, wanted, reduction="none").double().sum()
            right = (logits.argmax(dim=-1) == wanted).sum()
            sums += torch.tensor([nats.item(), right.item(), len(wanted)], dtype=torch.float64)
    nats, right, count = stage.sum_over_processes(sums).tolist()
    return TextLoss(nats, round(right), round(count))
