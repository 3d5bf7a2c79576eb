"""A process's share of every step, collated while the step before it trains."""

import math
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

from accelerate import Accelerator

from pipeline.models.collate import Batch, Rows
from pipeline.training.batches import BatchPlan, GlobalBatch

Collate = Callable[[Rows, int], Batch]  # rows and the epoch -> a micro-batch


class MicroBatch(NamedTuple):
    """A micro-batch that this process runs."""

    number: int  # in the global batch
    weight: float  # of its losses: 0 where it only keeps this process in step with the others
    batch: Batch


class Step(NamedTuple):
    """One optimiser step as one process sees it."""

    global_batch: GlobalBatch
    micro_batches: list[MicroBatch]
    data_wait: float  # seconds


def steps(batches: BatchPlan, collate: Collate, accelerator: Accelerator, *, first: int) -> Generator[Step]:
    """The steps from `first` to the last, each collated in a thread while the one before it is used.

    Every process gets the same number of micro-batches, since the last pass of a step synchronises: one without any of
    its own repeats the first with weight zero.
    """
    rank, world = accelerator.process_index, accelerator.num_processes
    pin = accelerator.device.type == "cuda"

    def collated(step: int) -> tuple[GlobalBatch, list[MicroBatch]]:
        global_batch = batches.at(step)
        count, found = len(global_batch.micro_batches), []
        for round_ in range(math.ceil(count / world)):
            number = round_ * world + rank
            weight, number = (1.0, number) if number < count else (0.0, 0)
            rows, epoch = global_batch.micro_batches[number], global_batch.epoch
            batch = replace(collate(rows, epoch), key=(epoch, rows.tobytes()), comes_again=global_batch.comes_again)
            found.append(MicroBatch(number, weight, batch.pin_memory() if pin else batch))
        return global_batch, found

    with ThreadPoolExecutor(max_workers=1) as worker:
        pending = worker.submit(collated, first) if first < batches.steps else None
        step = first
        while pending is not None:
            asked = time.perf_counter()
            global_batch, micro_batches = pending.result()
            data_wait = time.perf_counter() - asked
            step += 1
            pending = worker.submit(collated, step) if step < batches.steps else None
            yield Step(global_batch, micro_batches, data_wait)
