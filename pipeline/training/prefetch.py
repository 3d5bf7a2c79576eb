"""A process's share of every step, collated while the step before it trains."""

import math
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from accelerate import Accelerator
from torch import Tensor

from pipeline.models.collate import Inputs, Rows
from pipeline.training.batches import BatchPlan, GlobalBatch

Collate = Callable[[Rows, int], Inputs]
"""Rows and the epoch -> the inputs of a micro-batch."""


class Part(NamedTuple):
    """A micro-batch that this process runs."""

    number: int  # in the global batch
    weight: float
    inputs: Inputs


class Step(NamedTuple):
    """One optimiser step as one process sees it."""

    batch: GlobalBatch
    parts: list[Part]
    waited: float  # seconds for the data


def steps(batches: BatchPlan, collate: Collate, accelerator: Accelerator, *, first: int) -> Generator[Step]:
    """The steps from `first` to the last, each collated in a thread while the one before it is used.

    Every process gets the same number of parts, since the last pass of a step synchronises: one without a micro-batch
    of its own repeats the first with weight zero.
    """
    rank, world = accelerator.process_index, accelerator.num_processes
    pin = accelerator.device.type == "cuda"  # a copy from page-locked memory is not waited for

    def parts_of(step: int) -> tuple[GlobalBatch, list[Part]]:
        batch = batches.at(step)
        count, found = len(batch.micro_batches), []
        for round_ in range(math.ceil(count / world)):
            number = round_ * world + rank
            weight, number = (1.0, number) if number < count else (0.0, 0)
            inputs = collate(batch.micro_batches[number], batch.epoch)
            if pin:
                inputs = {name: v.pin_memory() if isinstance(v, Tensor) else v for name, v in inputs.items()}
            found.append(Part(number, weight, inputs))
        return batch, found

    with ThreadPoolExecutor(max_workers=1) as worker:
        pending = worker.submit(parts_of, first) if first < batches.steps else None
        step = first
        while pending is not None:
            asked = time.perf_counter()
            batch, parts = pending.result()
            waited = time.perf_counter() - asked
            step += 1
            pending = worker.submit(parts_of, step) if step < batches.steps else None
            yield Step(batch, parts, waited)
