"""Masked-LM training and measuring of a backbone (BERT, arXiv:1810.04805, section 3.1).

Only the masked positions go through the head: its product with the vocabulary would cost more than a small encoder.
"""

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from pipeline.data.corpus import Corpus
from pipeline.data.masking import mask_tokens
from pipeline.losses.tinybert import label_loss
from pipeline.models.collate import Batch, Rows, collate
from pipeline.models.loading import separate_head
from pipeline.models.saved_model import special_id
from pipeline.models.trace import forward
from pipeline.runtime.stage import Stage
from pipeline.training.batches import GlobalBatch, cut_into_micro_batches
from pipeline.training.throughput import training_flops

COUNTED = 20_000  # blocks whose tokens are counted for a new head's bias
MEASURED = 2**31 - 1  # the epoch number whose masks measure: the same before and after, and never trained on


class MaskedLM(nn.Module):
    """A backbone with its head, as logits of the masked positions alone."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.head = separate_head(model)

    def forward(self, batch: Batch) -> Tensor:
        """(masked positions, vocabulary), of a batch whose target `masked` (B, T) marks them."""
        masked_BT = batch.targets["masked"]
        if self.head is None:
            return forward(self.model, batch).logits[masked_BT]
        return self.head(forward(self.model.base_model, batch).last_hidden_state[masked_BT])

    def flops(self, batch: GlobalBatch, masked: int) -> float:
        """FLOPs of a forward pass, and of a backward pass through what is trained; the head on masked tokens alone."""
        head = sum(p.numel() for p in self.head.parameters() if p.ndim == 2) if self.head else 0
        return training_flops(self.model)(batch) + 6.0 * head * masked


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


class MaskedBlocks:
    """Blocks of a corpus with some tokens masked, other ones in every epoch.

    Args:
        rows: the blocks it draws from.
        packed: whether the models that read them can take a packed batch.
    """

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
        self.corpus, self.rows, self.seed, self.share, self.packed = corpus, rows, seed, share, packed
        self.pad_id = special_id(tokenizer, "pad_token_id")
        self.mask_id = special_id(tokenizer, "mask_token_id")
        # The first and the last token of a block. [UNK] is a word like others: `masked_count` counts on it.
        self.special = frozenset({special_id(tokenizer, "cls_token_id"), special_id(tokenizer, "sep_token_id")})
        self.vocab_size = vocab_size
        self.lengths = corpus.lengths[rows]

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
        """A batch with `masked` (B, T) bool and `masked_ids`, the ids to find, in the order of `masked`."""
        found = [self.masked(int(row), epoch) for row in rows]
        batch = collate({"input_ids": [ids for ids, _, _ in found]}, self.pad_id, packed=self.packed)
        masked_BT = torch.zeros_like(batch.input_ids, dtype=torch.bool)
        for row, (_, positions, _) in enumerate(found):
            masked_BT[row, torch.from_numpy(positions)] = True
        masked_ids = torch.from_numpy(np.concatenate([ids for _, _, ids in found]))
        return batch.with_targets(masked=masked_BT, masked_ids=masked_ids)

    def loss(self, model: nn.Module, batch: Batch, global_batch: GlobalBatch) -> dict[str, Tensor]:
        """Cross-entropy of the masked tokens, a mean over those of the whole global batch."""
        count = self.masked_count(global_batch)
        return {"masked_lm": label_loss(model(batch), batch.targets["masked_ids"], examples=count)}

    def masked_count(self, batch: GlobalBatch) -> int:
        """Masked tokens of a global batch. They follow from the lengths (mask_tokens): no process asks the others."""
        lengths = self.lengths[np.concatenate(batch.micro_batches)]
        return int(np.maximum(1, np.round(self.share * (lengths - 2))).sum())


def masked_accuracy(model: MaskedLM, blocks: MaskedBlocks, stage: Stage, *, tokens: int) -> float:
    """Share of the masked tokens that the model finds, over all blocks, each process taking its share."""
    model.eval()
    right_and_all = torch.zeros(2, dtype=torch.float64)
    rows = np.arange(len(blocks.rows))
    batches = cut_into_micro_batches(rows, blocks.lengths, tokens, packed=blocks.packed)
    with torch.inference_mode(), stage.autocast():
        for number in stage.shares(len(batches)):
            batch = blocks.collate(batches[number], MEASURED).to(stage.accelerator.device)
            wanted = batch.targets["masked_ids"]
            right_and_all += torch.tensor([(model(batch).argmax(dim=-1) == wanted).sum().item(), len(wanted)])
    right, count = stage.sum_over_processes(right_and_all).tolist()
    return right / max(count, 1)


def first_blocks(lengths: np.ndarray, tokens: int) -> int:
    """How many blocks, from the first on, have at most so many tokens together: at least two; 0 tokens: all blocks."""
    return max(2, int(np.searchsorted(np.cumsum(lengths), tokens, side="right"))) if tokens else len(lengths)


def split_blocks(count: int, *, held_out: float, seed: int) -> tuple[Rows, Rows]:
    """Blocks to train on and blocks that only measure (at least one where any are asked for)."""
    order = np.random.default_rng([seed, 3]).permutation(count)
    measured = min(count - 1, max(1, round(count * held_out))) if held_out else 0
    return np.sort(order[measured:]), np.sort(order[:measured])
