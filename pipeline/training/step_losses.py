"""The losses of steps, left on the device until they are read: to read one is to wait for all that a GPU has to do."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.errors import WorkFailed
from pipeline.runtime.stage import Stage
from pipeline.training.batches import GlobalBatch
from pipeline.training.checkpoints import latest_checkpoint


class StepLosses(NamedTuple):
    """What one optimiser step found out, over all processes."""

    batch: GlobalBatch
    terms: dict[str, Tensor]  # by name, scalars
    norm: Tensor  # of the gradient, before it is clipped


def read_losses(stage: Stage, unread: list[StepLosses]) -> list[dict[str, float]]:
    """The terms of every step, in order; nothing is left unread.

    Raises: WorkFailed for the first step at which the loss or the norm of its gradient is not finite.
    """
    steps, unread[:] = list(unread), []
    if not steps:
        return []
    values = torch.stack([value.double() for step in steps for value in (*step.terms.values(), step.norm)])
    numbers, read = iter(values.tolist()), []
    for step in steps:
        terms, norm = {name: next(numbers) for name in step.terms}, next(numbers)
        if not math.isfinite(sum(terms.values()) + norm):
            raise _not_finite(stage, step.batch)
        read.append(terms)
    return read


def _not_finite(stage: Stage, batch: GlobalBatch) -> WorkFailed:
    rows = [row for rows in batch.micro_batches for row in rows.tolist()]
    return WorkFailed(
        f"{stage.name}: the loss or its gradient is not finite at step {batch.step} (rows {rows}); last good"
        f" checkpoint: {latest_checkpoint(stage.work)[0] or 'none'}; try a smaller learning rate, or precision: fp32"
    )
