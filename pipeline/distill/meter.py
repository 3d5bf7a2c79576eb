"""Times models of a recipe's shapes at the work that they do in its stages: a forward pass, a training step."""

import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pipeline.config.distillation import LayerObjectives
from pipeline.config.objectives import chosen, layer_map
from pipeline.config.training import TrainedTeacher, Training
from pipeline.distill.layers import ProjectedStudent, Teacher, both_pack, layer_loss
from pipeline.hardware import resolve_precision, resolve_tokens
from pipeline.losses.tinybert import prediction_loss
from pipeline.models.attention import can_pack
from pipeline.models.collate import Batch, collate
from pipeline.models.device import compute_device
from pipeline.models.loading import (
    freeze,
    load_config,
    load_language_model,
    random_language_model,
    separate_head,
)
from pipeline.models.new_student import new_student
from pipeline.models.saved_model import is_decoder
from pipeline.models.trace import Trace, Wanted, forward
from pipeline.plan.estimate import Counts
from pipeline.plan.plan import Plan
from pipeline.training.batches import planned
from pipeline.training.language_model import LanguageModel
from pipeline.training.optimizer import make_optimizer, train_only

AT_ONCE = 2048  # tokens of a try on a CPU: enough for the products to be as fast as they get
TRIES, TRY_SECONDS = 5, 0.5
UNSHARED = 1.3  # an operation that does not use all threads leaves some of them idle
Loss = Callable[[nn.Module, Batch, Any], Mapping[str, Tensor]]


class Meter:
    """Times models of the recipe's shapes."""

    def __init__(self, plan: Plan, counts: Counts) -> None:
        self.recipe, self.counts = plan.recipe, counts
        self.device: Any = compute_device()
        self.folder = plan.inputs.backbone
        self.predicted = 1.0 if is_decoder(self.folder) else plan.recipe.pretrain_teacher.mask_share
        self.precision = resolve_precision(plan.recipe.precision)
        self.random = np.random.default_rng(0)

    def teacher(self) -> float:
        """Seconds a token of a forward pass."""
        return self._forward(self._encoder())

    def student(self) -> float:
        """Seconds a token of a forward pass."""
        return self._forward(new_student(self.recipe.student, self._encoder()))

    def _encoder(self) -> PreTrainedModel:
        return cast(PreTrainedModel, self._backbone().base_model)

    def _backbone(self, hidden_dropout: float = 0.0) -> PreTrainedModel:
        """With its masked-LM head; its weights do not matter, and before a training from scratch there are none."""
        if not self.recipe.pretrain_teacher.from_scratch:
            return load_language_model(self.folder, new_head=True, hidden_dropout=hidden_dropout)
        return random_language_model(load_config(self.folder, hidden_dropout=hidden_dropout))

    def _forward(self, model: PreTrainedModel) -> float:
        frozen = freeze(model, precision=self.precision).to(self.device)
        batch, tokens = self._batch(self._some(self.counts.lengths), packed=can_pack(frozen))

        def run() -> None:
            with torch.inference_mode(), self._autocast():
                forward(frozen, batch)

        return self._seconds(run) / tokens

    def step(self, stage: str, settings: Training) -> float:
        """Seconds a token of a training step."""
        model, loss, packed = self._training(stage, settings)
        on_corpus = stage in ("pretrain_teacher", "distill_general")
        lengths = np.full(settings.batch_size, self.counts.corpus_length) if on_corpus else self.counts.lengths
        lengths = self._some(lengths, settings.batch_size)
        plan = planned(lengths, settings, seed=0, packed=packed)
        global_batch = plan.at(0)
        batches = [self._batch(lengths[rows], packed=packed)[0] for rows in global_batch.micro_batches]
        optimizer = make_optimizer(model.to(self.device).train(), settings)

        def run() -> None:
            for batch in batches:
                with self._autocast():
                    terms = loss(model, batch, global_batch)
                torch.stack(list(terms.values())).sum().backward()
            nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            optimizer.step()
            optimizer.zero_grad()

        return self._seconds(run) / global_batch.tokens

    def _training(self, stage: str, settings: Training) -> tuple[nn.Module, Loss, bool]:
        """What a stage trains, on a loss like its own, and whether it takes packed batches."""
        if isinstance(settings, TrainedTeacher):
            return self._of_teacher(stage, settings)
        return self._of_student(settings)

    def _of_teacher(self, stage: str, settings: TrainedTeacher) -> tuple[nn.Module, Loss, bool]:
        whole = self._backbone(settings.hidden_dropout)
        if settings.upper_layers is not None:
            train_only(whole, settings.upper_layers)
        if stage == "pretrain_teacher":
            return LanguageModel(whole), _masked_loss, can_pack(whole)
        encoder = cast(PreTrainedModel, whole.base_model)
        return encoder, _first_token_loss, can_pack(encoder)

    def _of_student(self, settings: Training) -> tuple[nn.Module, Loss, bool]:
        whole, decoder = self._backbone(self.recipe.student.hidden_dropout), is_decoder(self.folder)
        encoder = cast(PreTrainedModel, whole.base_model)
        made = new_student(self.recipe.student, encoder, with_lm_head=decoder)
        student = cast(PreTrainedModel, made.base_model)
        heads = [separate_head(model) if decoder else None for model in (whole, made)]
        if not isinstance(settings, LayerObjectives) or not (chosen(settings) or decoder):
            return student, _first_token_loss, can_pack(student)
        N, M = encoder.config.num_hidden_layers, student.config.num_hidden_layers
        freeze(whole, precision=self.precision).to(self.device)
        teacher = Teacher(model=encoder, encoder=encoder, lm_head=heads[0])
        projected = ProjectedStudent(student, teacher_width=encoder.config.hidden_size, lm_head=heads[1])
        layers = layer_map(settings.layer_map, teacher_layers=N, student_layers=M)
        more = {"more": _next_token_terms, "more_wants": Wanted(predicted_logits=True)} if decoder else {}
        return projected, layer_loss(teacher, layers, settings, **more), both_pack(teacher, projected)

    def _some(self, lengths: np.ndarray, most: int = AT_ONCE) -> np.ndarray:
        """Some of the lengths, at most so many, with about as many tokens together as keep the device busy."""
        drawn = self.random.permutation(lengths)[:most]
        return drawn[: max(1, int(np.searchsorted(drawn.cumsum(), resolve_tokens(None, on_cpu=AT_ONCE))))]

    def _batch(self, lengths: np.ndarray, *, packed: bool) -> tuple[Batch, int]:
        ids = [self.random.integers(5, 50, length) for length in np.sort(lengths)[::-1]]  # as a micro-batch has them
        batch = collate({"input_ids": ids}, 0, packed=packed)
        predicted_BT = torch.from_numpy(self.random.random(batch.input_ids.shape) < self.predicted)
        predicted_BT = predicted_BT & batch.attention_mask.bool()
        ids = torch.zeros(int(predicted_BT.sum()), dtype=torch.long)
        return batch.with_targets(predicted=predicted_BT, predicted_ids=ids).to(self.device), int(lengths.sum())

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _seconds(self, work: Callable[[], None]) -> float:
        """The best of several tries; the first one, in which kernels are compiled, does not count.

        Other work on the CPUs makes a try longer, and hardly the time that they spend on it.
        """
        on_cpu, threads = self.device.type == "cpu", torch.get_num_threads()
        work()
        tries: list[float] = []
        while len(tries) < TRIES and sum(tries) < TRY_SECONDS:
            begin, spent = time.perf_counter(), time.process_time()
            work()
            if not on_cpu:
                torch.cuda.synchronize()
            taken = time.perf_counter() - begin
            tries.append(min(taken, UNSHARED * (time.process_time() - spent) / threads) if on_cpu else taken)
        return min(tries)


def _masked_loss(model: nn.Module, batch: Batch, _: Any) -> dict[str, Tensor]:
    logits = model(batch).float()
    labels = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return {"masked_lm": nn.functional.cross_entropy(logits, labels)}


def _next_token_terms(student: Trace, teacher: Trace, _batch: Batch, _global_batch: Any) -> dict[str, Tensor]:
    ours, theirs = student.predicted_logits, teacher.predicted_logits
    assert ours is not None and theirs is not None
    return {"soft_causal_lm": prediction_loss(ours, theirs, temperature=1.0)}


def _first_token_loss(model: nn.Module, batch: Batch, _: Any) -> dict[str, Tensor]:
    return {"first": forward(model, batch).last_hidden_state[:, 0].float().square().mean()}
