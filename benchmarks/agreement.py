"""The pipeline's losses and gradients beside the paper-literal reference's, on one global batch."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.both_ways import Case
from benchmarks.reference import padded
from pipeline.training.loop import backward
from pipeline.training.prefetch import steps

ROUNDING = 1e-6  # of the whole gradient's norm: what is below is 0 in exact arithmetic, as that of a key's bias


class Gap(NamedTuple):
    """How far apart two figures are, and how far they may be."""

    name: str
    value: float
    bound: float


def gaps(case: Case) -> list[Gap]:
    """Losses: relative, attention losses to the mean square of the teacher's scores; gradients: relative in norm.

    The reference's batch is padded further than the pipeline's micro-batches.
    """
    plan = case.plan(1)
    case.before()
    first = next(steps(plan, case.job.collate, case.stage.accelerator, first=0))
    model = case.job.model.to(case.stage.accelerator.device).train()
    ours = backward(case.job, case.stage, model, first)
    rows = np.concatenate(first.global_batch.micro_batches)
    inputs = padded(case.job.collate(rows, 0), case.length + 16, pad_id=0)
    inputs = {name: tensor.to(case.stage.accelerator.device) for name, tensor in inputs.items()}
    theirs = case.losses(inputs)
    torch.stack(list(theirs.values())).sum().backward()
    found = []
    for name, value in theirs.items():
        layer = int(name.removeprefix("attention_")) if name.startswith("attention") else 0
        scale = score_square(case, inputs, case.sources[layer]) if layer else abs(value.item())
        found.append(Gap(f"loss {name}", abs(ours[name].item() - value.item()) / scale, 1e-5))
    pairs = zip(model.named_parameters(), case.slow_student.parameters(), strict=True)
    grads = [(name, p.grad, q.grad) for (name, p), q in pairs if p.grad is not None and q.grad is not None]
    whole = torch.stack([theirs.norm() for _, _, theirs in grads]).norm()
    real = [one for one in grads if one[2].norm() > ROUNDING * whole]
    worst, name = max((float((p - q).norm() / q.norm()), name) for name, p, q in real)
    return [*found, Gap(f"gradient of {name}, the worst", worst, 1e-4)]


@torch.no_grad()
def score_square(case: Case, inputs: dict[str, Tensor], layer: int) -> float:
    """Mean square of the teacher's attention scores over heads and real pairs."""
    scores_BHTT = case.slow_teacher(**inputs, output_attentions=True).attentions[layer - 1]
    real_BT = inputs["attention_mask"].bool()
    pairs_BHTT = (real_BT[:, None, :, None] & real_BT[:, None, None, :]).expand_as(scores_BHTT)
    return float(scores_BHTT[pairs_BHTT].square().mean())
