"""Language models in training, masked LMs and decoders: the blocks of a corpus with the tokens that they predict there.

Only what is predicted goes through the head: its product with the vocabulary would cost more than a small encoder.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pipeline.data.corpus import Corpus
from pipeline.losses.tinybert import label_loss
from pipeline.models.collate import Batch, Rows
from pipeline.models.loading import separate_head
from pipeline.models.trace import at_predicted, forward
from pipeline.runtime.stage import Stage
from pipeline.training.batches import GlobalBatch, cut_into_micro_batches
from pipeline.training.throughput import training_flops

MEASURED = 2**31 - 1  # the epoch number whose masks measure: the same before and after, and never trained on


class LanguageModel(nn.Module):
    """A masked LM or a decoder, as logits of the predicted tokens alone."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.head = separate_head(model)

    def forward(self, batch: Batch) -> Tensor:
        """(predicted tokens, vocabulary), of a batch whose target `predicted` (B, T) marks where they are predicted."""
        if self.head is None:
            return at_predicted(forward(self.model, batch).logits, batch)
        return self.head(at_predicted(forward(self.model.base_model, batch).last_hidden_state, batch))

    def flops(self, batch: GlobalBatch, predicted: int) -> float:
        """FLOPs of a forward pass, and of a backward pass through what is trained; the head on those tokens alone."""
        head = sum(p.numel() for p in self.head.parameters() if p.ndim == 2) if self.head else 0
        return training_flops(self.model)(batch) + 6.0 * head * predicted


class Blocks(ABC):
    """Blocks of a corpus, some of whose tokens are predicted.

    Args:
        rows: the blocks it draws from.
        packed: whether the models that read them can take a packed batch.
    """

    objectives: ClassVar[tuple[str, str]]
    """Of general distillation: the tokens themselves, and the teacher's predictions of them."""
    metric: ClassVar[str]
    metric_format: ClassVar[str]

    def __init__(self, corpus: Corpus, rows: Rows, *, packed: bool) -> None:
        self.corpus, self.rows, self.packed = corpus, rows, packed
        self.lengths = corpus.lengths[rows]

    @abstractmethod
    def collate(self, rows: Rows, epoch: int) -> Batch:
        """A batch with `predicted` (B, T) bool, where tokens are predicted, and `predicted_ids`, these in order."""

    @abstractmethod
    def predicted_count(self, batch: GlobalBatch) -> int:
        """Predicted tokens of a global batch."""

    def loss(self, model: nn.Module, batch: Batch, global_batch: GlobalBatch) -> dict[str, Tensor]:
        """Cross-entropy of the predicted tokens, a mean over those of the whole global batch."""
        count = self.predicted_count(global_batch)
        return {self.objectives[0]: label_loss(model(batch), batch.targets["predicted_ids"], examples=count)}

    def measure(self, model: LanguageModel, stage: Stage, *, tokens: int) -> float | None:
        """The metric over all blocks, each process taking its share; None where there is no block.

        Args: tokens: at once, with padding.
        """
        if not len(self.rows):
            return None
        model.eval()
        sums = torch.zeros(2, dtype=torch.float64)
        batches = cut_into_micro_batches(np.arange(len(self.rows)), self.lengths, tokens, packed=self.packed)
        with torch.inference_mode(), stage.autocast():
            for number in stage.own_share(len(batches)):
                batch = self.collate(batches[number], MEASURED).to(stage.accelerator.device)
                target_ids = batch.targets["predicted_ids"]
                found = self.metric_sum(model(batch), target_ids).item()
                sums += torch.tensor([found, len(target_ids)], dtype=torch.float64)
        total, count = stage.sum_over_processes(sums).tolist()
        return self.metric_from_sum(total, round(count))

    @abstractmethod
    def metric_sum(self, logits: Tensor, target_ids: Tensor) -> Tensor:
        """What the metric sums over predicted tokens. Args: logits: (n, vocabulary); target_ids: (n,), int64."""

    @abstractmethod
    def metric_from_sum(self, total: float, count: int) -> float:
        """The metric. Args: total: `metric_sum` of all predicted tokens; count: their number."""
