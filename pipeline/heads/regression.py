"""Scores of any size, learnt as distances from their mean in units of their spread.

A head begins with outputs around 0, and Adam's steps do not grow with the loss: scores around 50 or 2,000 would never
be reached. So the targets are standardised while a model learns, and afterwards its last layer takes the scale in.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

TARGETS = ("labels", "teacher")  # inputs of the losses that are scores


class Scale(NamedTuple):
    """Mean and standard deviation of scores."""

    mean: float
    spread: float

    @classmethod
    def of(cls, scores: np.ndarray) -> "Scale":
        """That of some scores, of any shape; a spread of 1 where all are the same."""
        exact = np.asarray(scores, dtype=np.float64)
        return cls(float(exact.mean()), float(exact.std()) or 1.0)

    def standardised(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Inputs of a step, their scores in units of the scale."""
        return inputs | {name: (inputs[name] - self.mean) / self.spread for name in TARGETS if name in inputs}

    @torch.no_grad()
    def put_into(self, model: nn.Module) -> None:
        """What the model gave as x it gives as x times the spread, plus the mean."""
        last = output_layer(model)
        last.weight.mul_(self.spread)
        last.bias.mul_(self.spread).add_(self.mean)

    @torch.no_grad()
    def take_out_of(self, model: nn.Module) -> None:
        """The reverse of `put_into`."""
        last = output_layer(model)
        last.weight.div_(self.spread)
        last.bias.sub_(self.mean).div_(self.spread)


class ExactLinear(nn.Linear):
    """A linear layer in float32, whatever surrounds it: in bf16 no score lies between 2,000 and 2,008."""

    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return linear(input.float(), self.weight, self.bias)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ExactLinear":
        """Moves between devices only; its weights are never cast."""
        return super()._apply(lambda tensor: tensor.to(fn(tensor).device), recurse)


def output_layer(model: nn.Module) -> nn.Linear:
    """The last linear layer, which gives a classifier's outputs."""
    return [module for module in model.modules() if isinstance(module, nn.Linear)][-1]


def make_exact(model: nn.Module) -> None:
    """Let the last linear layer compute in float32."""
    last = output_layer(model)
    (name,) = (name for name, module in model.named_modules() if module is last)
    exact = ExactLinear(last.in_features, last.out_features, bias=last.bias is not None)
    exact.weight, exact.bias = last.weight, last.bias
    model.set_submodule(name, exact)
