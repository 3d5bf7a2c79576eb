"""AdamW as every stage uses it, its learning rate by step, and which part of a model it trains."""

import math

import torch
from torch import nn
from transformers import PreTrainedModel

from pipeline.config.training import Training
from pipeline.models.architectures import encoder_layers


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


def train_only(model: PreTrainedModel, upper_layers: int) -> None:
    """Leave gradients to the head, its pooler among it, and to so many of the upper layers alone."""
    trunk = model.base_model
    trunk.requires_grad_(False)
    layers = next(module for module in encoder_layers(model).modules() if isinstance(module, nn.ModuleList))
    for layer in (*layers[len(layers) - upper_layers :], *filter(None, [getattr(trunk, "pooler", None)])):
        layer.requires_grad_(True)
