"""The first and the last token of an answer in a window of text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForQuestionAnswering, PreTrainedModel

from pipeline.config.distillation import DistillPredictions
from pipeline.heads.base import Head
from pipeline.losses.tinybert import label_loss, prediction_loss
from pipeline.models.collate import Batch, pad

FORBIDDEN = -1e4  # logit of what can be no answer; finite, so that zero times it is zero


class QuestionAnsweringHead(Head):
    """A start and an end logit a token (B, T, 2). Losses are means over windows."""

    architecture = AutoModelForQuestionAnswering

    def load(self, folder: Path, *, label_names: Sequence[str], **settings: Any) -> PreTrainedModel:
        """A model whose two outputs a token are named start and end."""
        return super().load(folder, label_names=("start", "end"), **settings)

    def width(self, model: PreTrainedModel) -> int:
        """Start and end."""
        return 2

    def read(self, model_output: Any) -> Tensor:
        """(B, T, 2): start and end logits."""
        return torch.stack([model_output.start_logits, model_output.end_logits], dim=-1)

    def targets(self, columns: Mapping[str, Any]) -> dict[str, Tensor]:
        """`allowed` (B, T), 1 on the context and the first token, which stands for no answer; `start`, `end` (B,)."""
        found = {"allowed": pad([[1, *(int(begin >= 0) for begin in row[1:])] for row in columns["begin"]], 0)}
        if "start_token" in columns:
            found["start"] = torch.tensor(columns["start_token"])
            found["end"] = torch.tensor(columns["end_token"])
        return found

    def answering(self, batch: Batch) -> Tensor:
        """The tokens that an answer can begin or end at."""
        return batch.targets["allowed"].bool()

    def supervised_loss(
        self, outputs: Tensor, batch: Batch, *, weight: int, class_weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Cross-entropy of the first and of the last token of the answer."""
        start_BT, end_BT = _start_and_end(outputs, batch)
        return {
            "start": label_loss(start_BT, batch.targets["start"], examples=weight) / 2,
            "end": label_loss(end_BT, batch.targets["end"], examples=weight) / 2,
        }

    def distillation_loss(
        self, student: Tensor, teacher: Tensor, batch: Batch, *, weight: int, settings: DistillPredictions
    ) -> Tensor:
        """Soft cross-entropy (TinyBERT eq. 10) over the tokens of a window, the mean of that of start and end."""
        pairs = zip(_start_and_end(student, batch), _start_and_end(teacher, batch), strict=True)
        temperature = settings.temperature
        start, end = (prediction_loss(ours, theirs, temperature=temperature, examples=weight) for ours, theirs in pairs)
        return (start + end) / 2


def _start_and_end(logits_BT2: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Start and end logits (B, T), float32, made impossible where no answer can begin or end."""
    masked_BT2 = logits_BT2.float().masked_fill(batch.targets["allowed"][..., None] == 0, FORBIDDEN)
    return masked_BT2[..., 0], masked_BT2[..., 1]
