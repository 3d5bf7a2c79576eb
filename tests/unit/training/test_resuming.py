"""A training that was killed, stopped or lost a file ends like one that was not."""

import os
import signal
import sys
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from pipeline.errors import Interrupted
from pipeline.models.collate import Batch, Rows
from pipeline.training.checkpoints import checkpoints, save_checkpoint
from pipeline.training.loop import Progress, make_optimizer, train
from pipeline.training.prefetch import steps
from tests.helpers.one_process import make_stage
from tests.helpers.tiny_job import MICRO_BATCHES, STEPS, collate, job, loss, same


class Killed(BaseException):
    """Nothing may catch it, like a kill."""


def first_is_best(model: nn.Module) -> float:
    """The loss: it falls from epoch to epoch, so a run that goes on must still have the first epoch's weights."""
    batch = job().batches.at(0)
    return float(loss(model, collate(np.concatenate(batch.micro_batches), 0), batch)["label"])


@pytest.mark.parametrize("call", range(MICRO_BATCHES))
def test_a_run_killed_in_any_micro_batch_ends_with_the_same_bytes(tmp_path: Path, call: int) -> None:
    whole = job(score=first_is_best)
    run = {"checkpoint_seconds": 1e-9, "log_every": 4}
    progress = train(whole, make_stage(tmp_path / "whole", **run))
    assert progress.best_score == progress.scores[0]
    calls = 0

    def killed(rows: Rows, epoch: int) -> Batch:
        nonlocal calls
        calls += 1
        if calls > call:
            raise Killed
        return collate(rows, epoch)

    with pytest.raises(Killed):
        train(job(score=first_is_best, collate=killed), make_stage(tmp_path / "killed", **run))
    again = job(score=first_is_best)
    assert train(again, make_stage(tmp_path / "killed", **run)) == progress
    assert same(again.model, whole.model)


def test_asked_to_stop_it_leaves_a_checkpoint_and_goes_on_from_there(tmp_path: Path) -> None:
    whole, again = job(), job()
    train(whole, make_stage(tmp_path / "whole"))
    stage = make_stage(tmp_path / "stopped")

    def stop(rows: Rows, epoch: int) -> Batch:
        stage.stop()
        return collate(rows, epoch)

    with pytest.raises(Interrupted, match="stopped at step 1 of 6; the same command goes on"):
        train(job(collate=stop), stage)
    assert [folder.name for folder in checkpoints(stage.work)] == ["checkpoint-000000001"]
    train(again, make_stage(tmp_path / "stopped"))
    assert same(again.model, whole.model)


def test_a_damaged_checkpoint_is_reported_and_the_result_is_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, again = job(), job()
    train(first, make_stage(tmp_path, checkpoint_seconds=1e-9))
    newest = checkpoints(tmp_path / "work")[-1]
    (newest / "model.safetensors").write_bytes(b"")
    capsys.readouterr()
    train(again, make_stage(tmp_path))
    said = capsys.readouterr().err
    assert f"{newest / 'model.safetensors'} is damaged" in said
    assert "going on from step 4 of 6" in said
    assert same(again.model, first.model)


FILE_OPERATIONS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")


def killed_at(operation: int, folder: Path) -> bool:
    """Train in a process of its own, a checkpoint a step, that gets SIGKILL before its n-th operation on a file."""
    child = os.fork()
    if not child:
        left = operation

        def strike(event: str, arguments: tuple) -> None:
            nonlocal left
            if event in FILE_OPERATIONS and arguments and str(folder) in str(arguments[0]):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(strike)
        try:
            train(job(score=first_is_best), make_stage(folder, checkpoint_seconds=1e-9))
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_killed_between_any_two_operations_on_files_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    whole = job(score=first_is_best)
    progress = train(whole, make_stage(tmp_path / "whole"))
    operation = 0
    while killed_at(operation, tmp_path / f"{operation}"):
        again = job(score=first_is_best)
        assert train(again, make_stage(tmp_path / f"{operation}")) == progress, operation
        assert same(again.model, whole.model), operation
        operation += 5
    assert operation > 90


@pytest.mark.parametrize("world", [1, 2, 3, 5, 40])
def test_any_number_of_processes_keeps_the_global_batch(world: int) -> None:
    batches = job().batches
    shares = [list(steps(batches, collate, cast(Accelerator, Rank(rank, world)), first=0)) for rank in range(world)]
    for step in range(STEPS):
        run = [micro_batch for share in shares for micro_batch in share[step].micro_batches]
        assert len({len(share[step].micro_batches) for share in shares}) == 1  # or some would wait for others
        counted = sorted(micro_batch.number for micro_batch in run if micro_batch.weight)
        assert counted == list(range(len(batches.at(step).micro_batches)))


class Rank:
    """What `steps` asks an accelerator."""

    device = torch.device("cpu")

    def __init__(self, process_index: int, num_processes: int) -> None:
        self.process_index, self.num_processes = process_index, num_processes


def test_a_run_that_goes_on_on_another_device_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun, stage = job(), make_stage(tmp_path)
    state = {**vars(Progress(step=2)), "device": "cuda", "of_an_older_version": 0}
    optimizer = make_optimizer(begun.model, begun.settings)
    save_checkpoint(stage.work, model=begun.model, optimizer=optimizer, best=None, state=state)
    assert train(job(), stage).step == STEPS
    assert "going on from step 2 of 6, reached on cuda, now on cpu" in "".join(capsys.readouterr())
