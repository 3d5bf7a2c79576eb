"""A label for each text or pair."""

from torch import Tensor

from pipeline.config.distillation import DistillPredictions
from pipeline.heads.base import Head
from pipeline.losses.tinybert import label_loss, prediction_loss
from pipeline.models.collate import Batch


class ClassificationHead(Head):
    """Logits (B, C) of C labels."""

    def supervised_loss(
        self, outputs: Tensor, batch: Batch, *, weight: int, class_weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Cross-entropy of the labels, or of soft labels where the batch has them."""
        target = batch.targets["soft"] if "soft" in batch.targets else batch.targets["labels"]
        return {"label": label_loss(outputs, target, examples=weight, class_weights=class_weights)}

    def distillation_loss(
        self, student: Tensor, teacher: Tensor, batch: Batch, *, weight: int, settings: DistillPredictions
    ) -> Tensor:
        """Soft cross-entropy of the logits (TinyBERT eq. 10)."""
        return prediction_loss(student, teacher, temperature=settings.temperature, examples=weight)
