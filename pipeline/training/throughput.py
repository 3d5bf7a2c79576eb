"""How fast a training goes, and what share of the device's peak it reaches (model FLOPs utilisation, MFU).

Model FLOPs of a forward pass: two for each weight of the transformer layers and each token, and four for each unit of
width and each pair of tokens, for attention. A backward pass takes twice as many. Padding does not count.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from pipeline.models.architectures import encoder_layers
from pipeline.training.batches import GlobalBatch

Flops = Callable[[GlobalBatch], float]


@dataclass(kw_only=True)
class Throughput:
    """Sums over the steps of this launch, without validation and checkpoints."""

    tokens: int = 0  # of all processes, without padding
    examples: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    data_wait: float = 0.0

    def add(self, batch: GlobalBatch, *, seconds: float, data_wait: float, flops: float) -> None:
        self.tokens += batch.tokens
        self.examples += batch.examples
        self.seconds += seconds
        self.data_wait += data_wait
        self.flops += flops

    def summary(self, rate: float) -> dict[str, float]:
        """Rates per second, and shares. Args: rate: the peak FLOP/s of all devices together."""
        return {
            "tokens_per_s": self.tokens / self.seconds,
            "examples_per_s": self.examples / self.seconds,
            "data_wait_share": self.data_wait / self.seconds,
            "flops_per_s": self.flops / self.seconds,
            "share_of_peak": self.flops / self.seconds / rate,
        }


def summary_line(summary: dict[str, float]) -> str:
    """A summary as a user reads it."""
    return (
        f"{summary['tokens_per_s']:,.0f} tokens/s, {summary['data_wait_share']:.1%} of the time waiting for data,"
        f" {summary['flops_per_s'] / 1e9:,.0f} GFLOP/s ({summary['share_of_peak']:.0%} of this machine's peak)"
    )


def encoder_flops(model: PreTrainedModel) -> Flops:
    """FLOPs of a forward pass through the transformer layers."""
    config: Any = model.config
    weights = sum(p.numel() for p in encoder_layers(model).parameters() if p.ndim >= 2)
    attention = config.num_hidden_layers * config.hidden_size
    return lambda batch: 2.0 * weights * batch.tokens + 4.0 * attention * batch.pairs


def training_flops(model: PreTrainedModel) -> Flops:
    """FLOPs of a forward pass through the transformer layers, and of a backward pass through those that are trained."""
    forward = encoder_flops(model)
    matrices = [p for p in encoder_layers(model).parameters() if p.ndim >= 2]
    trained = sum(p.numel() for p in matrices if p.requires_grad) / sum(p.numel() for p in matrices)
    return lambda batch: (1.0 + 2.0 * trained) * forward(batch)


@functools.cache
def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Peak FLOP/s of the device: the best of several square matrix products, of random numbers.

    A GPU multiplies ones a tenth faster: bits that do not change cost no power. Measured once a process.
    """
    size = 8192 if device.type == "cuda" else 2048
    own = torch.Generator(device).manual_seed(0)  # the training's draws stay as they are
    matrix = torch.randn((size, size), generator=own, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(6):
        begin = time.perf_counter()
        torch.matmul(matrix, matrix)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - begin)
    return 2.0 * size**3 / best
