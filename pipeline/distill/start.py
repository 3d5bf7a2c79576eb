"""How a student starts in a stage: fitted to its teacher by the main process, for all processes the same."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_NAME

from pipeline.config.objectives import layer_map
from pipeline.distill.augmented_dataset import AugmentedTexts, load_task_teacher
from pipeline.distill.layers import PROJECTIONS, ProjectedStudent
from pipeline.hardware import cpu_cores
from pipeline.heads import head_of
from pipeline.heads.fit import fit_head
from pipeline.models.architectures import start_of
from pipeline.models.collate import Batch, Rows
from pipeline.models.fit_sample import AT_ONCE, FitSample, rows_within_memory, spread_rows
from pipeline.models.fitted_head import fit_masked_lm_head
from pipeline.models.fitted_start import FittedStart
from pipeline.models.loading import save_model
from pipeline.models.new_student import new_student
from pipeline.models.saved_model import model_shape, weight_names
from pipeline.models.student_init import copy_head, init_from_layers, weights_of_head
from pipeline.runtime.processes import wait_until_seen
from pipeline.runtime.stage import Stage
from pipeline.training.batches import cut_into_micro_batches

HEAD_TOKENS = 1 << 17  # of the texts that a head is fitted on
MASKED_TOKENS = 1 << 16  # of the blocks that a masked-LM head is fitted on
Columns = Callable[[Rows], Mapping[str, Any]]


def fit_student(
    stage: Stage,
    encoder: PreTrainedModel,
    teacher: PreTrainedModel,
    *,
    columns: Columns,
    lengths: np.ndarray,
    pad_id: int,
) -> dict[int, Tensor]:
    """Fit a student's encoder to a teacher's on some of the stage's texts (`fitted_start`).

    Args:
        teacher: its weights in float32.
        columns, lengths: the columns of some of the texts, by number; how many tokens each text has.

    Returns: the projections that fit it, (teacher width, student width), by layer.
    """
    N, M, width = teacher.config.num_hidden_layers, encoder.config.num_hidden_layers, teacher.config.hidden_size
    layers = layer_map(stage.recipe.student.start_layers, teacher_layers=N, student_layers=M)
    sample = FitSample(columns, rows_within_memory(lengths, width=width, layers=len(layers) - 1), lengths, pad_id)
    pairs = ", ".join(f"{own} to {source}" for own, source in layers.items() if own)
    stage.say(f"fitting layers {pairs} of the teacher, on {sample.tokens:,} tokens of {sample.texts:,} texts")
    if sample.tokens < encoder.config.hidden_size:
        few = f"fewer tokens than the student's width of {encoder.config.hidden_size}"
        stage.say(f"{few}: the fit will be rough; give more text")
    heads, theirs = encoder.config.num_attention_heads, teacher.config.num_attention_heads
    if heads != theirs:
        shared = "several student heads share one teacher head"
        if heads < theirs:
            shared = "each student head is fitted to the mean of several teacher heads"
        stage.say(f"the student has {heads} attention heads, the teacher {theirs}: {shared}")
    device = stage.accelerator.device
    encoder.to(device).eval()
    shape = (width, encoder.config.hidden_size)
    projections = {layer: torch.zeros(shape, device=device) for layer in layers}
    if stage.is_main:
        with all_cores():
            projections = FittedStart(encoder, teacher.to(device).eval(), sample.to(device), layers).run()
    stage.broadcast([*encoder.parameters(), *(projections[layer] for layer in sorted(layers))])
    return projections


def start_masked_lm_head(
    stage: Stage,
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    masked: Callable[[Rows], Batch],
    lengths: np.ndarray,
) -> None:
    """Start a student's masked-LM head: fitted to the teacher's where the encoder is fitted or an existing student's,
    copied where layers are, else at random.

    Args:
        student, teacher: with their heads; the encoder of the student has started already.
        masked, lengths: make a batch of some blocks of the corpus with masked tokens; the tokens of all blocks.
    """
    start, device = start_of(stage.recipe.student, teacher.config.model_type), stage.accelerator.device
    if start == "layers":
        copy_head(student, teacher)
    knows_something = start == "fitted" or stage.inputs.student is not None
    if not knows_something or student.config.model_type != "bert" or teacher.get_output_embeddings() is None:
        return
    rows = spread_rows(lengths, MASKED_TOKENS)
    stage.say(f"fitting the student's masked-LM head to the teacher's, on {len(rows):,} blocks")
    for model in (student, teacher):
        nn.Module.to(model, device).eval()
    if stage.is_main:
        with all_cores():
            parts = cut_into_micro_batches(rows, lengths[rows], AT_ONCE, packed=False)
            fit_masked_lm_head(student, teacher, (masked(part).padded().to(device) for part in parts))
    stage.broadcast(list(student.parameters()))


def start_from_task_teacher(stage: Stage, data: AugmentedTexts) -> Path:
    """A student that starts from the task's teacher, with its head; in a folder such as distill_general publishes.

    The main process writes it for all: transformers saves no weights in any other.
    """
    folder = stage.work / "start"
    head, settings = head_of(data.texts.kind), stage.recipe.student
    teacher = load_task_teacher(stage, data)
    trunk = cast(PreTrainedModel, teacher.base_model)
    encoder = new_student(settings, trunk)
    if start_of(settings, trunk.config.model_type) == "fitted":
        texts = data.texts
        known = fit_student(stage, encoder, trunk, columns=texts.columns, lengths=texts.lengths, pad_id=texts.pad_id)
    else:
        known = init_from_layers(encoder, trunk, settings.start_layers)
    if stage.is_main:
        save_model(encoder, folder / "student", tokenizer_of=data.tokenizer)
        student = head.load(folder / "student", label_names=data.label_names, new_head=True)
        copy_head(student, teacher)
        head.save(student, folder / "student", tokenizer_of=data.tokenizer)
        projected = ProjectedStudent(encoder, teacher_width=trunk.config.hidden_size)
        projected.init_projections(known)
        projected.save_projections(folder)
    stage.accelerator.wait_for_everyone()
    wait_until_seen([*(folder / "student" / name for name in (CONFIG_NAME, SAFE_WEIGHTS_NAME)), folder / PROJECTIONS])
    return folder


def head_can_be_copied(student: PreTrainedModel, teacher: Path) -> bool:
    """Whether `copy_head` finds the whole head of a saved teacher, pooler and last layer: both models name them alike.

    A RoBERTa's last layer is `classifier.out_proj` and a BERT's `classifier`; a DistilBERT has `pre_classifier` where a
    BERT has a pooler. Such a head of the student starts at random.
    """
    return weights_of_head(student) <= weight_names(teacher)


def head_is_copied(stage: Stage, student: PreTrainedModel) -> bool:
    """Whether the last layer of a task's student started as its teacher's, cut to the student's width."""
    if stage.recipe.student.start_from != "task_teacher":
        return False
    if stage.recipe.task.kind == "embedding":  # its projection has the teacher's in it, under another name
        return True
    return head_can_be_copied(student, stage.upstream["finetune_teacher"])


def started_fitted(stage: Stage) -> bool:
    """Whether the student of a task started fitted to its teacher, or to the backbone."""
    teacher = model_shape(stage.upstream["finetune_teacher"], "teacher")
    return start_of(stage.recipe.student, teacher.model_type) == "fitted"


def fit_on_logits(
    stage: Stage, data: AugmentedTexts, student: PreTrainedModel, collate: Callable[[Rows, int], Batch]
) -> None:
    """Set the head of a student on the task by least squares. Args: collate: makes batches with `teacher_outputs`."""
    lengths = data.texts.lengths
    rows = spread_rows(lengths, HEAD_TOKENS)
    stage.say(f"fitting the student's head to the teacher's outputs of {len(rows):,} texts")
    head, device = head_of(data.texts.kind), stage.accelerator.device
    same_width = student.config.hidden_size == model_shape(stage.upstream["finetune_teacher"], "teacher").width
    copied = same_width and head_is_copied(stage, student)
    if stage.is_main:
        with all_cores():
            parts = cut_into_micro_batches(rows, lengths[rows], AT_ONCE, packed=False)
            batches = [collate(part, 0).padded().to(device) for part in parts]
            torch.manual_seed(stage.recipe.seed)  # of dropout
            fit_head(head, student.train(not copied), batches, new_head=not copied)
    stage.broadcast(list(student.parameters()))


@contextmanager
def all_cores() -> Generator[None]:
    """Meanwhile one process works for all, with every core; so the bytes do not depend on the number of processes."""
    before = torch.get_num_threads()
    torch.set_num_threads(cpu_cores())
    try:
        yield
    finally:
        torch.set_num_threads(before)
