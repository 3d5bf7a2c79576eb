"""A tag for each word: its first token answers for it."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers import AutoModelForTokenClassification

from pipeline.config.distillation import DistillPredictions
from pipeline.heads.base import Head
from pipeline.losses.tinybert import label_loss, prediction_loss
from pipeline.models.collate import Batch, pad
from pipeline.tasks.token_classification import NO_LABEL


class TokenClassificationHead(Head):
    """Logits (B, T, C) of C tags. Losses are means over words."""

    architecture = AutoModelForTokenClassification

    def targets(self, columns: Mapping[str, Any]) -> dict[str, Tensor]:
        """`begins` (B, T), 1 on the first token of each word; `positions`, where in B x T these are; `labels` (B, T),
        the tags there, elsewhere -100.
        """
        begins = pad([[int(word >= 0) for word in words] for words in columns["word"]], 0)
        found = {"begins": begins, "positions": begins.flatten().nonzero()[:, 0]}
        if "labels" in columns:
            found["labels"] = pad(columns["labels"], NO_LABEL)
        return found

    def answering(self, batch: Batch) -> Tensor:
        """The first token of each word."""
        return batch.targets["begins"].bool()

    def supervised_loss(
        self, outputs: Tensor, batch: Batch, *, weight: int, class_weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Cross-entropy of the tags."""
        positions, words = batch.targets["positions"], max(weight, 1)
        logits, tags = outputs.flatten(0, 1)[positions], batch.targets["labels"].flatten()[positions]
        return {"label": label_loss(logits, tags, examples=words, class_weights=class_weights)}

    def distillation_loss(
        self, student: Tensor, teacher: Tensor, batch: Batch, *, weight: int, settings: DistillPredictions
    ) -> Tensor:
        """Soft cross-entropy of the logits (TinyBERT eq. 10), where the teacher has any: one with its own tokenizer may
        not read a text to its end, and has zeros there.
        """
        positions, words = batch.targets["positions"], max(weight, 1)
        ours, theirs = (logits.flatten(0, 1)[positions] for logits in (student, teacher))
        known = theirs.any(dim=-1)
        return prediction_loss(ours, theirs, temperature=settings.temperature, examples=words, known_B=known)
