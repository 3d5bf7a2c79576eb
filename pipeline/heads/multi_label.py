"""Any number of labels for each text or pair."""

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.config.distillation import DistillPredictions
from pipeline.heads.base import Head, output_layer
from pipeline.losses.tinybert import binary_label_loss, binary_prediction_loss
from pipeline.models.collate import Batch
from pipeline.tasks.label_sets import log_odds


class MultiLabelHead(Head):
    """Logits (B, C), each the log odds of one label."""

    problem_type = "multi_label_classification"

    @torch.no_grad()
    def start_at_frequencies(self, model: PreTrainedModel, references: np.ndarray) -> None:
        """The bias becomes the log odds of each label's share of the rows (Lin et al., arXiv:1708.02002, section 4.1).

        Labels are rare: from 0 every output would first have to fall by 3 or 4, which small steps do slowly.
        """
        share = (references.sum(axis=0) + 0.5) / (len(references) + 1)
        output_layer(model).bias.copy_(torch.from_numpy(log_odds(share)))

    def supervised_loss(
        self, outputs: Tensor, batch: Batch, *, weight: int, class_weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Binary cross-entropy of each label, or of soft labels where the batch has them."""
        target = batch.targets["soft"] if "soft" in batch.targets else batch.targets["labels"]
        return {"label": binary_label_loss(outputs, target, examples=weight, class_weights=class_weights)}

    def distillation_loss(
        self, student: Tensor, teacher: Tensor, batch: Batch, *, weight: int, settings: DistillPredictions
    ) -> Tensor:
        """Soft binary cross-entropy of the logits."""
        return binary_prediction_loss(student, teacher, temperature=settings.temperature, examples=weight)
