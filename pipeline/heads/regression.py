"""A score for each text or pair."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

from pipeline.config.distillation import DistillPredictions
from pipeline.heads.base import Head, Scale, output_layer
from pipeline.losses.tinybert import regression_loss
from pipeline.models.collate import Batch


class RegressionHead(Head):
    """One score (B, 1), computed in float32."""

    def load(self, folder: Path, **settings: Any) -> PreTrainedModel:
        """A model with a head for one score."""
        model = super().load(folder, **settings)
        make_exact(model)
        return model

    def scale(self, targets: np.ndarray) -> Scale:
        """Mean and spread of the scores of a training."""
        return Scale.of(targets)

    def supervised_loss(
        self, outputs: Tensor, batch: Batch, *, weight: int, class_weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Squared gap to the score."""
        return {"score": regression_loss(outputs, batch.targets["labels"][:, None], examples=weight)}

    def distillation_loss(
        self, student: Tensor, teacher: Tensor, batch: Batch, *, weight: int, settings: DistillPredictions
    ) -> Tensor:
        """Squared gap to the teacher's score."""
        return regression_loss(student, teacher, examples=weight)


class ExactLinear(nn.Linear):
    """A linear layer in float32, whatever surrounds it: in bf16 no score lies between 2,000 and 2,008."""

    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return linear(input.float(), self.weight, self.bias)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ExactLinear":
        """Moves between devices only; its weights are never cast."""
        return super()._apply(lambda tensor: tensor.to(fn(tensor).device), recurse)


def make_exact(model: PreTrainedModel) -> None:
    """Let the last linear layer compute in float32."""
    last = output_layer(model)
    (name,) = (name for name, module in model.named_modules() if module is last)
    exact = ExactLinear(last.in_features, last.out_features, bias=last.bias is not None)
    exact.weight, exact.bias = last.weight, last.bias
    model.set_submodule(name, exact)
