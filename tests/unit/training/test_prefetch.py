"""The data of a training is ready before it is asked for."""

import threading
from pathlib import Path

from pipeline.models.collate import Batch, Rows
from pipeline.training.prefetch import steps
from tests.helpers.one_process import make_stage
from tests.helpers.tiny_job import STEPS, collate, job


def test_the_next_step_is_collated_while_one_is_used(tmp_path: Path) -> None:
    plan = job().batches
    micro_batches = [len(plan.at(step).micro_batches) for step in range(3)]
    enough, calls = threading.Event(), 0

    def counting(rows: Rows, epoch: int) -> Batch:
        nonlocal calls
        calls += 1
        if calls == micro_batches[0] + micro_batches[1]:
            enough.set()
        return collate(rows, epoch)

    each = steps(plan, counting, make_stage(tmp_path).accelerator, first=0)
    next(each)
    assert enough.wait(timeout=30)
    each.close()
    assert calls == micro_batches[0] + micro_batches[1]


def test_steps_begin_where_they_are_told_and_end_with_the_plan(tmp_path: Path) -> None:
    ours, accelerator = job(), make_stage(tmp_path).accelerator
    seen = [step.global_batch.step for step in steps(ours.batches, ours.collate, accelerator, first=2)]
    assert seen == list(range(2, STEPS))
    assert list(steps(ours.batches, ours.collate, accelerator, first=STEPS)) == []
