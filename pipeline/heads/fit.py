"""A student's head by least squares on its own states, aiming at the teacher's outputs."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pipeline.heads.base import Head
from pipeline.models.collate import Batch
from pipeline.models.fit_sample import keeping
from pipeline.models.least_squares import mean, product, ridge

POOLED = 0.5  # spread of what goes into a new pooler's tanh: about linear, and the outputs are not tiny


@torch.no_grad()
def fit_head(head: Head, model: PreTrainedModel, batches: Sequence[Batch], *, new_head: bool) -> None:
    """Set a model's last layer, and a new head's pooler.

    Args:
        model: for a new head in the mode that it will be trained in, so that the noise of dropout counts; else in eval
            mode.
        batches: with the target `teacher_outputs`, (B, C) or (B, T, C), in the units that the head learns in.
        new_head: whether it is at random; else the pooler stays, and the last layer moves from where it is.
    """
    last = head.last_layer(model)
    if last is None:
        return
    pooler: Any = getattr(model.base_model, "pooler", None)
    if pooler is not None and new_head:
        states_BS = _inputs_of(head, model, pooler.dense, batches)
        centre_S = mean(states_BS).float()
        values, vectors = torch.linalg.eigh(product(states_BS - centre_S, states_BS - centre_S))
        # Directions that vary alike, but none that hardly varies blown up.
        weight_SS = (POOLED * (vectors / (values + values.mean()).sqrt()) @ vectors.T).float()
        pooler.dense.weight.copy_(weight_SS)
        pooler.dense.bias.copy_(-weight_SS @ centre_S)
    inputs = _inputs_of(head, model, last, batches)
    targets = torch.cat([_answers(head, batch, batch.targets["teacher_outputs"]) for batch in batches])
    if not new_head:
        targets = targets - last(inputs)
    fitted = ridge(inputs, targets, bias=last.bias is not None)
    for parameter, found in zip((last.weight, last.bias), fitted, strict=True):
        if parameter is not None:
            parameter.copy_(found if new_head else parameter + found)


def _inputs_of(head: Head, model: nn.Module, module: nn.Module, batches: Sequence[Batch]) -> Tensor:
    """What goes into a module, of the units that are compared, (units, width)."""
    with keeping({"inputs": (module, "input")}) as kept:
        for batch in batches:
            head.outputs(model, batch)
    return torch.cat([_answers(head, batch, states) for batch, states in zip(batches, kept["inputs"], strict=True)])


def _answers(head: Head, batch: Batch, states: Tensor) -> Tensor:
    """Of (B, ...) all, or of (B, T, ...) those of the tokens that answer."""
    answering_BT = head.answering(batch)
    return states if answering_BT is None else states[answering_BT]
