"""The only training loop: accumulate, clip, schedule, log, evaluate, checkpoint, resume.

A stage hands it a model, a batch plan, a way to collate rows, and a loss. Killed at any instant and started again with
the same number of processes it ends with the same bytes: batches are a pure function of the step, and the generators
are seeded before every micro-batch from (seed, step, its number), so dropout does not depend on the processes.
"""

import contextlib
import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from pipeline.config.training import Training
from pipeline.errors import Interrupted
from pipeline.models.collate import Batch
from pipeline.runtime.processes import check_same
from pipeline.runtime.stage import Stage
from pipeline.training.batches import BatchPlan, GlobalBatch
from pipeline.training.checkpoints import latest_checkpoint, load_checkpoint, own_tensors, save_checkpoint
from pipeline.training.optimizer import learning_rate, make_optimizer
from pipeline.training.prefetch import Collate, Step, steps
from pipeline.training.step_losses import StepLosses, read_losses
from pipeline.training.throughput import Flops, Throughput, matrix_rate, summary_line

PAUSE_EVERY = 10  # steps on a GPU, after which signals and losses are looked at


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a stage trains, on what, towards what."""

    model: nn.Module
    batches: BatchPlan
    collate: Collate
    loss: Callable[[nn.Module, Batch, GlobalBatch], dict[str, Tensor]]
    """Named, weighted terms, each averaged over the whole global batch."""
    settings: Training
    score: Callable[[Any], float] | None = None
    """A dev score, larger is better: the best epoch's weights are the result. None: the last step's are."""
    flops: Flops = field(default=lambda batch: 0.0)  # model FLOPs of a global batch, forward and backward
    throughput: Throughput = field(default_factory=Throughput)  # filled in by `train`


@dataclass(kw_only=True)
class Progress:
    """Where a training stands; all that a checkpoint needs beside the tensors."""

    step: int = 0
    best_score: float | None = None
    scores: list[float] = field(default_factory=list)
    curve: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    """Each loss term, summed over the steps since the last point of the curve."""

    def add(self, terms: dict[str, float]) -> None:
        """The loss terms of one more step."""
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in terms.items()}


def train(job: Job, stage: Stage) -> Progress:
    """Train to the end, from the last good checkpoint if there is one; the model is left with the resulting weights.

    Raises: Interrupted after a signal (a checkpoint is written first); WorkFailed when the loss is not finite.
    """
    accelerator, total = stage.accelerator, job.batches.steps
    if total:
        _say_how_batches_are_shared(job, stage)
        freeze_unreached(job, stage)
    plain_optimizer = make_optimizer(job.model.to(accelerator.device), job.settings)
    progress, best = _resume(job, stage, plain_optimizer)
    model, optimizer = accelerator.prepare(job.model, plain_optimizer)
    begun, saved_at = progress.step, time.monotonic()
    unread: list[StepLosses] = []

    def checkpoint() -> None:
        if stage.is_main:
            state = {**vars(progress), "device": accelerator.device.type}
            save_checkpoint(stage.work, model=job.model, optimizer=plain_optimizer, best=best, state=state)

    with stage.bar(total=total, done=progress.step, unit="step") as bar:
        for step in steps(job.batches, job.collate, accelerator, first=progress.step):
            if progress.step == begun and accelerator.num_processes > 2:
                _settle_order_of_gradients(job, stage, model, step)
            for terms in _update(job, stage, model, optimizer, step, unread=unread):
                progress.add(terms)
            progress.step += 1
            bar.update()
            if not _pauses_after(job, stage, progress.step):
                continue
            if progress.step % stage.recipe.run.log_every == 0 or progress.step == total:
                _log(stage, progress, bar)
            epoch_ends = progress.step % job.batches.steps_per_epoch == 0 or progress.step == total
            if epoch_ends and job.score is not None and _is_best(job, stage, progress):
                best = own_tensors(job.model)
            if stage.stop_asked():
                checkpoint()
                accelerator.wait_for_everyone()  # a process that ends takes the others with it
                raise Interrupted(f"{stage.name} stopped at step {progress.step} of {total}; the same command goes on")
            if time.monotonic() - saved_at > stage.recipe.run.checkpoint_seconds and progress.step < total:
                checkpoint()
                saved_at = time.monotonic()
    if best is not None:
        job.model.load_state_dict(best, strict=False)  # tied tensors are stored once
    job.model.eval()
    if job.throughput.flops:
        stage.say(summary_line(throughput_of(job, stage)))
    return progress


def _say_how_batches_are_shared(job: Job, stage: Stage) -> None:
    """Where processes have too few micro-batches, and where a batch is trained on several times."""
    if len(job.batches.at(0).micro_batches) < stage.accelerator.num_processes:
        stage.say(
            "a batch has fewer micro-batches than there are processes, so some processes only repeat work: raise"
            " batch_size or lower micro_batch_tokens"
        )
    if job.batches.echo > 1:
        steps, echo = job.batches.steps, job.batches.echo
        stage.say(
            f"{steps} steps on {math.ceil(steps / echo)} different batches, each of them up to {echo} times (echo)"
        )


def freeze_unreached(job: Job, stage: Stage) -> None:
    """Leave out of the training what no loss reaches, since processes would wait for its gradient.

    Such as the end of a last layer of which only the attention is compared, or a pooler that a head does not read. One
    micro-batch shows it.
    """
    global_batch = job.batches.at(0)
    batch = job.collate(global_batch.micro_batches[-1], global_batch.epoch).to(stage.accelerator.device)
    model = job.model.to(stage.accelerator.device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with stage.autocast():
        terms = job.loss(model, batch, global_batch)
    gradients = torch.autograd.grad(torch.stack(list(terms.values())).sum(), trained, allow_unused=True)
    for parameter, gradient in zip(trained, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)


def _settle_order_of_gradients(job: Job, stage: Stage, model: nn.Module, step: Step) -> None:
    """A backward pass whose gradients are thrown away.

    After the first one of a launch DistributedDataParallel arranges the gradients anew, and where one lies decides in
    which order three processes or more are summed: a resumed training would have the bytes of a first step.
    """
    model.train()
    backward(job, stage, model, step)
    model.zero_grad()


def _pauses_after(job: Job, stage: Stage, step: int) -> bool:
    """Whether so many steps are followed by all that needs their losses: a point of the curve, dev, a checkpoint.

    Every step is on a CPU. On a GPU those are every tenth, and where the curve gets a point or an epoch ends: between
    them the next step is prepared while it works, and a loss that is not finite is found before anything is written.
    """
    if not stage.on_gpu or step == job.batches.steps:
        return True
    return 0 in (step % PAUSE_EVERY, step % stage.recipe.run.log_every, step % job.batches.steps_per_epoch)


def _update(
    job: Job,
    stage: Stage,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: Step,
    *,
    unread: list[StepLosses],
) -> list[dict[str, float]]:
    """One optimiser step; returns the loss terms of those steps that were not read before, where that is due."""
    began, number = time.perf_counter(), step.global_batch.step
    model.train()
    terms = backward(job, stage, model, step)
    norm = stage.accelerator.clip_grad_norm_(model.parameters(), job.settings.clip)
    unread.append(StepLosses(step.global_batch, terms, torch.as_tensor(norm, device=stage.accelerator.device)))
    # On a CPU nothing is waited for, and no weight is touched yet.
    read = [] if stage.on_gpu else read_losses(stage, unread)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(job.settings, number, job.batches.steps)
    optimizer.step()
    optimizer.zero_grad()
    if _pauses_after(job, stage, number + 1):
        read += read_losses(stage, unread)
    seconds, flops = time.perf_counter() - began + step.data_wait, job.flops(step.global_batch)
    job.throughput.add(step.global_batch, seconds=seconds, data_wait=step.data_wait, flops=flops)
    return read


def throughput_of(job: Job, stage: Stage) -> dict[str, float]:
    """How fast the last training went, beside what its devices multiply."""
    dtype = torch.bfloat16 if stage.precision == "bf16" else torch.float32
    return job.throughput.summary(stage.accelerator.num_processes * matrix_rate(stage.accelerator.device, dtype))


def _resume(job: Job, stage: Stage, optimizer: torch.optim.Optimizer) -> tuple[Progress, dict[str, Tensor] | None]:
    """Weights, optimiser and progress of the last good checkpoint; a new start where there is none."""
    folder, complaints = latest_checkpoint(stage.work)
    for complaint in complaints:
        stage.say(complaint)
    check_same(f"to go on from {folder.name if folder else 'the beginning'}")
    if folder is None:
        return Progress(), None
    state, best = load_checkpoint(folder, model=job.model, optimizer=optimizer)
    before, now = state["device"], stage.accelerator.device.type
    moved = f", reached on {before}, now on {now}" if before != now else ""
    stage.say(f"going on from step {state['step']} of {job.batches.steps}{moved}")
    return Progress(**{name: state[name] for name in vars(Progress())}), best


def _is_best(job: Job, stage: Stage, progress: Progress) -> bool:
    """Score an epoch on dev; whether no epoch before was as good."""
    assert job.score is not None
    job.model.eval()
    with torch.inference_mode():
        score = job.score(job.model)
    progress.scores.append(score)
    stage.say(f"epoch {len(progress.scores)}: dev score {score:.4f}")
    if progress.best_score is not None and score <= progress.best_score:
        return False
    progress.best_score = score
    return True


def backward(job: Job, stage: Stage, model: nn.Module, step: Step) -> dict[str, Tensor]:
    """Accumulate the gradients of one global batch; returns its loss terms, over all processes, on the device."""
    accelerator = stage.accelerator
    names: list[str] = []
    values = torch.zeros(1, dtype=torch.float64, device=accelerator.device)
    for micro_batch in step.micro_batches:
        batch = micro_batch.batch.to(accelerator.device)
        torch.manual_seed(seed_of(job.batches.seed, stage.name, step.global_batch.step, micro_batch.number))
        is_last = micro_batch is step.micro_batches[-1]
        with contextlib.nullcontext() if is_last else accelerator.no_sync(model):
            with stage.autocast():
                terms = job.loss(model, batch, step.global_batch)
            losses = torch.stack(list(terms.values()))
            # DDP takes the mean over processes; we want the sum.
            accelerator.backward(losses.sum() * (micro_batch.weight * accelerator.num_processes))
        names = list(terms)
        values = values + losses.detach().double() * micro_batch.weight
    return dict(zip(names, torch.as_tensor(accelerator.reduce(values, reduction="sum")), strict=True))


def seed_of(*parts: Any) -> int:
    """A 63-bit seed from anything that prints the same everywhere."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def _log(stage: Stage, progress: Progress, bar: tqdm) -> None:
    """One point of the curve: each term's mean over the steps since the last point."""
    steps = progress.step - (int(progress.curve[-1]["step"]) if progress.curve else 0)
    point = {name: value / steps for name, value in progress.sums.items()}
    progress.sums = {}
    progress.curve.append({"step": progress.step, **point})
    bar.set_postfix_str(" ".join(f"{name} {value:.3f}" for name, value in point.items()), refresh=False)
    stage.track(point, progress.step)
