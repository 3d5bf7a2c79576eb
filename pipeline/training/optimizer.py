"""AdamW as every stage uses it, and its learning rate by step."""

import math

import torch
from torch import nn

from pipeline.config.training import Training


def make_optimizer(model: nn.Module, settings: Training) -> torch.optim.Optimizer:
    """AdamW, without weight decay on biases and layer norms, over the parameters that are trained."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=settings.learning_rate, fused=True)


def learning_rate(settings: Training, step: int, total: int) -> float:
    """The rate of a step (from 0): a linear rise over the warm-up, then linearly to zero, or constant."""
    rise = math.ceil(settings.warmup * total)
    if step < rise:
        return settings.learning_rate * (step + 1) / rise
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * (total - step) / max(1, total - rise)
