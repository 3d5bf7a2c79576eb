"""Any number of labels for each text or pair."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pipeline.config.training import DistillPredictions
from pipeline.heads.base import Head
from pipeline.losses.tinybert import binary_label_loss, binary_prediction_loss
from pipeline.models.collate import Batch


class MultiLabelHead(Head):
    """Logits (B, C), each the log odds of one label."""

    problem_type = "multi_label_classification"

    def targets(self, columns: Mapping[str, Any]) -> dict[str, Tensor]:
        """`labels` (B, C), 1.0 where a text has a label."""
        return {"labels": torch.tensor(columns["labels"], dtype=torch.float32)} if "labels" in columns else {}

    def supervised_loss(self, outputs: Tensor, batch: Batch, *, weight: int) -> dict[str, Tensor]:
        """Binary cross-entropy of each label."""
        return {"label": binary_label_loss(outputs, batch.targets["labels"], examples=weight)}

    def distillation_loss(
        self, student: Tensor, teacher: Tensor, batch: Batch, *, weight: int, settings: DistillPredictions
    ) -> Tensor:
        """Soft binary cross-entropy of the logits."""
        return binary_prediction_loss(student, teacher, temperature=settings.temperature, examples=weight)
