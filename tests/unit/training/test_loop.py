"""The one training loop: gradients, curve, schedule, the best epoch, and a loss that is not finite."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pipeline.config.training import Training
from pipeline.errors import WorkFailed
from pipeline.models.collate import Batch
from pipeline.runtime.stage import Stage
from pipeline.training.batches import GlobalBatch
from pipeline.training.checkpoints import latest_checkpoint, own_tensors
from pipeline.training.loop import Progress, backward, learning_rate, make_optimizer, train
from pipeline.training.prefetch import steps
from pipeline.training.step_losses import read_losses
from tests.helpers.one_process import make_stage
from tests.helpers.tiny_job import SETTINGS, STEPS, classifier, collate, job, logits_of, loss, same


def test_gradients_are_those_of_the_whole_batch_at_once(tmp_path: Path) -> None:
    ours, plain = job(dropout=0), classifier(dropout=0)
    batch, stage = ours.batches.at(0), make_stage(tmp_path)
    first = next(steps(ours.batches, ours.collate, stage.accelerator, first=0))
    terms = backward(ours, stage, ours.model.train(), first)
    whole = collate(np.concatenate(batch.micro_batches), 0)
    right = cross_entropy(logits_of(plain, whole), whole.targets["labels"])
    right.backward()
    assert len(batch.micro_batches) > 1
    assert terms["label"].item() == pytest.approx(right.item(), rel=1e-6)
    for parameter, other in zip(ours.model.parameters(), plain.parameters(), strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-4, atol=1e-7)


def test_a_training_is_that_of_a_plain_loop_with_clipping_decay_and_schedule(tmp_path: Path) -> None:
    settings = replace(SETTINGS, learning_rate=0.01, clip=0.1, weight_decay=0.5)
    ours, plain = job(dropout=0, settings=settings), classifier(dropout=0)
    curve = train(ours, make_stage(tmp_path, log_every=1)).curve
    optimizer, right = make_optimizer(plain, settings), []
    for step in range(STEPS):
        batch = collate(np.concatenate(ours.batches.at(step).micro_batches), 0)
        value = cross_entropy(logits_of(plain, batch), batch.targets["labels"])
        right.append(value.item())
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 0.1)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, step, STEPS)
        optimizer.step()
    np.testing.assert_allclose([point["label"] for point in curve], right, rtol=1e-5)


def test_the_micro_batch_budget_does_not_change_the_loss(tmp_path: Path) -> None:
    curves = []
    for tokens in (1, 30, 1000):
        settings = replace(SETTINGS, micro_batch_tokens=tokens)
        progress = train(job(dropout=0, settings=settings), make_stage(tmp_path / str(tokens), log_every=1))
        curves.append([point["label"] for point in progress.curve])
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-6)
    np.testing.assert_allclose(curves[2], curves[1], rtol=1e-6)


def test_dropout_is_another_for_each_micro_batch_and_step(tmp_path: Path) -> None:
    drawn: list[float] = []

    def draw(model: nn.Module, batch: Batch, global_batch: GlobalBatch) -> dict[str, Tensor]:
        drawn.append(float(torch.rand(())))
        return loss(model, batch, global_batch)

    train(job(loss=draw), make_stage(tmp_path))
    assert len(set(drawn)) == len(drawn) > STEPS


def test_one_seed_draws_batches_and_dropout(tmp_path: Path) -> None:
    plain, other_run, other_seed = job(), job(), job(seed=1)
    for number, (each, seed) in enumerate([(plain, 0), (other_run, 1), (other_seed, 0)]):
        train(each, make_stage(tmp_path / str(number), seed=seed))
    assert same(plain.model, other_run.model)  # pretrain_teacher has a seed of its own, and no other counts
    assert not same(plain.model, other_seed.model)


def test_the_model_is_left_as_it_is_used_without_dropout(tmp_path: Path) -> None:
    ours = job()
    train(ours, make_stage(tmp_path))
    assert not any(module.training for module in ours.model.modules())


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    progress = train(job(settings=replace(SETTINGS, epochs=30)), make_stage(tmp_path, log_every=3))
    assert progress.curve[-1]["label"] < 0.5 * progress.curve[0]["label"]


def test_the_curve_holds_means_over_the_steps_since_its_last_point(tmp_path: Path) -> None:
    each = train(job(), make_stage(tmp_path / "each", log_every=1)).curve
    some = train(job(), make_stage(tmp_path / "some", log_every=4)).curve
    assert [point["step"] for point in some] == [4, 6]
    means = [np.mean([point["label"] for point in part]) for part in (each[:4], each[4:])]
    np.testing.assert_allclose([point["label"] for point in some], means)


def test_the_best_epoch_is_the_result_and_the_first_of_equals(tmp_path: Path) -> None:
    scores, seen = iter([0.1, 0.9, 0.9, 0.3]), []

    def score(model: nn.Module) -> float:
        assert not model.training
        seen.append(own_tensors(model))
        return next(scores)

    ours = job(score=score, settings=replace(SETTINGS, epochs=4))
    progress = train(ours, make_stage(tmp_path))
    assert (progress.scores, progress.best_score) == ([0.1, 0.9, 0.9, 0.3], 0.9)
    assert not ours.model.training
    found = own_tensors(ours.model)
    assert all(torch.equal(found[name], tensor) for name, tensor in seen[1].items())


def broken_at(step: int, how: Callable[[Tensor], Tensor]) -> Callable[..., dict[str, Tensor]]:
    def broken(model: nn.Module, batch: Batch, global_batch: GlobalBatch) -> dict[str, Tensor]:
        terms = loss(model, batch, global_batch)
        return {"label": how(terms["label"])} if global_batch.step == step else terms

    return broken


@pytest.mark.parametrize("how", [lambda x: x * math.nan, lambda x: x * math.inf, lambda x: x + math.inf])
def test_a_loss_that_is_not_finite_stops_the_work_and_spoils_no_checkpoint(
    tmp_path: Path, how: Callable[[Tensor], Tensor]
) -> None:
    broken = job(loss=broken_at(3, how))
    rows = [row for part in broken.batches.at(3).micro_batches for row in part.tolist()]
    with pytest.raises(WorkFailed) as caught:
        train(broken, make_stage(tmp_path, checkpoint_seconds=1e-9))
    newest, _ = latest_checkpoint(tmp_path / "work")
    assert newest is not None and newest.name == "checkpoint-000000003"
    assert f"not finite at step 3 (rows {rows}); last good checkpoint: {newest}" in str(caught.value)
    assert all(parameter.isfinite().all() for parameter in broken.model.parameters())


@pytest.mark.parametrize(("log_every", "pause_every"), [(2, 10), (1000, 2)])
def test_a_gpu_is_waited_for_only_every_few_steps_and_where_an_epoch_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_every: int, pause_every: int
) -> None:
    on_cpu, on_gpu, run = job(), job(), {"log_every": log_every, "checkpoint_seconds": 1e-9}
    monkeypatch.setattr("pipeline.training.loop.PAUSE_EVERY", pause_every)
    right = train(on_cpu, make_stage(tmp_path / "cpu", **run))
    monkeypatch.setattr(Stage, "on_gpu", True)
    read: list[int] = []
    monkeypatch.setattr(
        "pipeline.training.loop.read_losses",
        lambda stage, unread: read.append(len(unread)) or read_losses(stage, unread),
    )
    assert train(on_gpu, make_stage(tmp_path / "gpu", **run)) == right
    assert read == [2, 1, 1, 2]  # epochs of three steps
    assert same(on_gpu.model, on_cpu.model)


def test_on_a_gpu_a_loss_that_is_not_finite_is_found_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stage, "on_gpu", True)
    broken = job(loss=broken_at(4, lambda x: x * math.nan))
    with pytest.raises(
        WorkFailed, match=r"not finite at step 4 \(rows .*last good checkpoint: .*checkpoint-000000003;"
    ):
        train(broken, make_stage(tmp_path, checkpoint_seconds=1e-9))


def test_biases_and_layer_norms_have_no_weight_decay_and_frozen_weights_no_place() -> None:
    model = classifier()
    model.get_input_embeddings().requires_grad_(False)
    decayed, plain = make_optimizer(model, replace(SETTINGS, weight_decay=0.3)).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.3, 0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    without = {names[id(parameter)] for parameter in plain["params"]}
    assert without == {name for name in names.values() if name.endswith("bias") or "LayerNorm" in name}
    others = {names[id(parameter)] for parameter in decayed["params"]}
    assert others == set(names.values()) - without - {"bert.embeddings.word_embeddings.weight"}


@pytest.mark.parametrize(
    ("schedule", "warmup", "shares"),
    [
        ("linear", 0.4, [1 / 4, 2 / 4, 3 / 4, 1, 6 / 6, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        ("linear", 0, [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]),
        ("constant", 0.2, [0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_the_learning_rate_rises_over_the_warm_up_then_follows_the_schedule(
    schedule: Any, warmup: float, shares: list[float]
) -> None:
    settings = Training(learning_rate=2e-5, schedule=schedule, warmup=warmup)
    rates = [learning_rate(settings, step, 10) for step in range(10)]
    np.testing.assert_allclose(rates, [2e-5 * share for share in shares])


def test_no_epochs_leave_the_model_as_it_is(tmp_path: Path) -> None:
    ours = job(settings=replace(SETTINGS, epochs=0))
    assert train(ours, make_stage(tmp_path)) == Progress()
    assert same(ours.model, classifier())
