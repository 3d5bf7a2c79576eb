"""What is timed: the three trainings of distillation, by the pipeline's own code and by the paper-literal reference.

Both get the same models, texts and global batches.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedModel

from benchmarks import reference
from benchmarks.both_ways import Case, forward_flops
from pipeline.config.objectives import layer_map
from pipeline.config.student import Student
from pipeline.config.training import Training
from pipeline.data.corpus import blocks_of
from pipeline.data.documents import read_documents
from pipeline.distill.layers import ProjectedStudent, Teacher, both_pack, layer_flops, layer_loss
from pipeline.errors import require
from pipeline.evaluate.inference import predict
from pipeline.losses.tinybert import prediction_loss
from pipeline.models.attention import ATTENTION, can_pack
from pipeline.models.collate import Batch, Rows, collate
from pipeline.models.loading import freeze, load_classifier, load_language_model, load_tokenizer
from pipeline.models.new_student import new_student
from pipeline.models.trace import forward
from pipeline.plan.plan import Plan
from pipeline.runtime.processes import make_accelerator
from pipeline.runtime.stage import Stage
from pipeline.tasks.labelled_data import read_task
from pipeline.tasks.tokenised import TokenisedTexts, as_datasets
from pipeline.training.batches import BatchPlan, GlobalBatch, planned
from pipeline.training.loop import Job
from pipeline.training.throughput import training_flops

TINYBERT4 = Student(layers=4, width=312, feed_forward=1200, heads=12, hidden_dropout=0)
LABELS = ("rotten", "fresh")


def make_stage(plan: Plan, name: str, work: Path) -> Stage:
    """A stage of the default recipe outside of its launcher."""
    return Stage(
        recipe=plan.recipe,
        spec=plan.stages[name],
        inputs=plan.inputs,
        upstream={},
        accelerator=make_accelerator(tracker="none", curves=work, run=name, stage=name),
        work=work,
        output=work / "output",
    )


def general(stage: Stage, *, models: str, length: int, batch_size: int, only: str = "") -> Case:
    """General distillation on full blocks of the recipe's corpus.

    Args:
        models: 'bert-base', BERT-base to TinyBERT4 (random weights), or 'recipe', the recipe's backbone and student.
        only: 'ours' or 'reference': the other one is not to be run, and takes no memory.
    """
    torch.manual_seed(0)
    if models == "bert-base":
        config = BertConfig(max_position_embeddings=max(512, length))
        config._attn_implementation = ATTENTION
        teacher, student = cast(PreTrainedModel, BertModel(config, add_pooling_layer=False)), TINYBERT4
    else:
        teacher, student = load_encoder(stage.inputs.backbone), stage.recipe.student
    tokenizer = load_tokenizer(stage.inputs.backbone)
    documents = read_documents(stage.inputs.corpus[0], column="text")
    full = (block for block in blocks_of(documents, tokenizer, length=length) if len(block) == length)
    blocks = list(islice(full, 20 * batch_size))

    def columns(rows: Rows) -> Mapping[str, Any]:
        return {"input_ids": [blocks[int(row)] for row in rows]}

    encoder = new_student(student, teacher)
    lengths = np.array([len(block) for block in blocks])
    settings = replace(stage.recipe.distill_general, batch_size=batch_size)
    return _layer_case(stage, teacher, encoder, lengths, columns, settings=settings, length=length, only=only)


def layers(stage: Stage, *, examples: int, only: str = "") -> Case:
    """Layer distillation on the task's training texts."""
    torch.manual_seed(0)
    teacher, texts = load_encoder(stage.inputs.backbone), task_texts(stage, examples)
    encoder = new_student(stage.recipe.student, teacher)
    settings = stage.recipe.distill_layers
    sizes = {"length": stage.recipe.task.max_length, "pad_id": texts.pad_id}
    return _layer_case(stage, teacher, encoder, texts.lengths, texts.columns, settings=settings, only=only, **sizes)


def predictions(stage: Stage, *, examples: int, only: str = "") -> Case:
    """The recipe's epochs of prediction distillation on the task's training texts, the teacher's logits included.

    The recipe annotates each original and each of its variants once. Where an epoch covers the originals, it shows one
    row of each of these groups, so each example of a step costs (variants + 1) / epochs annotations: with one variant
    and two epochs each row of logits is used once. Where an epoch covers all rows, it costs 1 / epochs.
    """
    torch.manual_seed(0)
    texts = task_texts(stage, examples)
    teacher = load_classifier(stage.inputs.backbone, label_names=LABELS, new_head=True).eval()
    device, settings = stage.accelerator.device, stage.recipe.distill_predictions
    require(settings.epochs, "distill_predictions.epochs: 0, so there is nothing to time; give it some")
    of_group = stage.recipe.augment_data.variants + 1 if settings.epoch_covers == "originals" else 1
    shape = cast(BertConfig, new_student(stage.recipe.student, teacher).config)
    shape.num_labels = len(LABELS)
    student = cast(PreTrainedModel, BertForSequenceClassification(shape))
    slow_student = copy.deepcopy(student).to(device)
    slow_student.set_attn_implementation(reference.SCORES)
    frozen, slow_teacher = _teachers(stage, teacher, only)
    logits = np.zeros((examples, len(LABELS)), dtype=np.float32)
    packed = can_pack(student)

    def annotate() -> None:
        for _ in range(of_group):  # a variant is about as long as its original
            logits[:] = predict(frozen, texts, stage, tokens=stage.recipe.annotate_data.tokens_at_once)

    def with_logits(rows: Rows, epoch: int) -> Batch:
        batch = collate(texts.columns(rows), texts.pad_id, packed=packed)
        return batch.with_targets(teacher_outputs=torch.from_numpy(logits[rows]))

    def loss(model: nn.Module, batch: Batch, global_batch: GlobalBatch) -> dict[str, Tensor]:
        ours, theirs = forward(model, batch).logits, batch.targets["teacher_outputs"]
        return {"prediction": prediction_loss(ours, theirs, temperature=1.0, examples=global_batch.examples)}

    plan = _plan(texts.lengths, settings, packed=packed)
    return Case(
        stage=stage,
        job=Job(
            model=student,
            batches=plan(1),
            collate=with_logits,
            loss=loss,
            settings=settings,
            flops=training_flops(student),
        ),
        plan=lambda steps: planned(texts.lengths, settings, seed=0, packed=packed),
        losses=reference.prediction_losses(slow_teacher, slow_student),
        slow_student=slow_student,
        slow_teacher=slow_teacher,
        sources={},
        length=stage.recipe.task.max_length,
        before=annotate,
        flops_before=of_group * forward_flops(teacher, texts.lengths),
        annotations=of_group / settings.epochs,
        unit="examples/s",
    )


def load_encoder(folder: Path) -> PreTrainedModel:
    """A model without its head."""
    return cast(PreTrainedModel, load_language_model(folder, new_head=True).base_model)


def task_texts(stage: Stage, examples: int) -> TokenisedTexts:
    """The first training texts of the task."""
    data = read_task(stage.recipe.task, stage.inputs.task)
    dataset = as_datasets(data)["train"].select(range(examples))
    tokenizer = load_tokenizer(stage.inputs.backbone)
    return TokenisedTexts(dataset, tokenizer, text_columns=data.text_columns, max_length=stage.recipe.task.max_length)


def _plan(lengths: np.ndarray, settings: Training, *, packed: bool) -> Callable[[int], BatchPlan]:
    steps_per_epoch = -(-len(lengths) // settings.batch_size)
    return lambda steps: planned(lengths, replace(settings, epochs=steps / steps_per_epoch), seed=0, packed=packed)


def _layer_case(
    stage: Stage,
    teacher: PreTrainedModel,
    encoder: PreTrainedModel,
    lengths: np.ndarray,
    columns: Callable[[Rows], Mapping[str, Any]],
    *,
    settings: Any,
    length: int,
    only: str,
    pad_id: int = 0,
) -> Case:
    sizes = {"teacher_layers": teacher.config.num_hidden_layers, "student_layers": encoder.config.num_hidden_layers}
    sources = layer_map("uniform", **sizes)
    model = ProjectedStudent(encoder, teacher_width=teacher.config.hidden_size)
    slow_model = copy.deepcopy(model).to(stage.accelerator.device)
    slow_model.model.set_attn_implementation(reference.SCORES)
    frozen, slow_teacher = _teachers(stage, teacher, only)
    to_copy = Teacher(model=frozen, encoder=frozen)
    packed = both_pack(to_copy, model)
    plan = _plan(lengths, settings, packed=packed)
    return Case(
        stage=stage,
        job=Job(
            model=model,
            batches=plan(1),
            collate=lambda rows, epoch: collate(columns(rows), pad_id, packed=packed),
            loss=layer_loss(to_copy, sources, settings),
            settings=settings,
            flops=layer_flops(to_copy, model, echo=settings.echo),
        ),
        plan=plan,
        losses=reference.layer_losses(slow_teacher, slow_model, sources, attention=bool(settings.attention)),
        slow_student=slow_model,
        slow_teacher=slow_teacher,
        sources=sources,
        length=length,
    )


def _teachers(stage: Stage, teacher: PreTrainedModel, only: str) -> tuple[PreTrainedModel, PreTrainedModel]:
    """The pipeline's and the reference's; one and the same where only one of them is run."""
    slow = teacher if only else copy.deepcopy(teacher)
    if only != "ours":
        slow.set_attn_implementation(reference.SCORES)
        slow.requires_grad_(False).eval().to(stage.accelerator.device)
    if only != "reference":
        teacher = freeze(teacher, precision=stage.precision).to(stage.accelerator.device)
    return teacher, slow
