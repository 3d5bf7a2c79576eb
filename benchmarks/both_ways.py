"""A training that is timed both ways: by the pipeline's own code, and by the paper-literal reference."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from benchmarks import reference
from pipeline.runtime.stage import Stage
from pipeline.training.batches import BatchPlan
from pipeline.training.loop import Job, train
from pipeline.training.throughput import Throughput, encoder_flops


@dataclass(frozen=True, kw_only=True)
class Case:
    """One training, ready to run either way."""

    stage: Stage
    job: Job
    plan: Callable[[int], BatchPlan]
    """The first steps of the training."""
    losses: reference.Losses
    """The reference's, of its own models."""
    slow_student: nn.Module
    slow_teacher: PreTrainedModel
    sources: Mapping[int, int]
    """Student layer -> teacher layer, where layers are compared."""
    length: int
    """Tokens that the reference pads to."""
    before: Callable[[], Any] = lambda: None
    """What ours does once, ahead of its steps."""
    flops_before: float = 0.0
    annotations: float | None = None
    """How many texts ours annotates ahead of its steps, for each example of a step."""
    unit: str = "tokens/s"

    def run_ours(self, steps: int) -> tuple[float, dict[str, float]]:
        """Units a second, and the throughput of the training and of what comes ahead of it."""
        job = replace(self.job, batches=self.plan(steps), throughput=Throughput())
        began = time.perf_counter()
        self.before()
        ahead = time.perf_counter() - began
        train(job, self.stage)
        found = job.throughput
        found.seconds += ahead
        found.flops += self.flops_before
        return self._units(job.batches) / found.seconds, vars(found)

    def run_reference(self, steps: int) -> float:
        """Units a second."""
        plan = self.plan(steps)
        batches = list(self._padded(plan))  # collating is not timed: the pipeline's own wait for data is
        began = time.perf_counter()
        reference.train(self.slow_student, self.losses, batches, learning_rate=self.job.settings.learning_rate)
        self._wait()
        return self._units(plan) / (time.perf_counter() - began)

    def _padded(self, plan: BatchPlan) -> Iterator[dict[str, Tensor]]:
        for step in range(plan.steps):
            rows = np.concatenate(plan.at(step).micro_batches)
            inputs = reference.padded(self.job.collate(rows, 0), self.length, pad_id=0)
            yield {name: tensor.to(self.stage.accelerator.device) for name, tensor in inputs.items()}

    def _units(self, plan: BatchPlan) -> int:
        batches = [plan.at(step) for step in range(plan.steps)]
        return sum(batch.tokens if self.unit == "tokens/s" else batch.examples for batch in batches)

    def _wait(self) -> None:
        if self.stage.accelerator.device.type == "cuda":
            torch.cuda.synchronize()


@dataclass(frozen=True)
class _Tokens:
    tokens: int
    pairs: int


def forward_flops(model: PreTrainedModel, lengths: np.ndarray) -> float:
    """FLOPs of one forward pass of texts with so many tokens."""
    counted: Any = _Tokens(tokens=int(lengths.sum()), pairs=int((lengths.astype(np.int64) ** 2).sum()))
    return encoder_flops(model)(counted)
