"""Task distillation, first step: the layers of the task's teacher (TinyBERT, section 3.2).

    accelerate launch -m stages.distill_layers --recipe recipes/rotten_tomatoes.yaml

Reads:  the task's teacher (finetune_teacher), the augmented dataset, the general student (distill_general); or the
        student starts from the task's teacher (`student.start_from`).
Writes: student/, after its last step, since no dev score says which step copies layers best; its head is still to be
        trained, and its vocabulary has the most frequent `pieces` of the dataset.
        projections.safetensors.
"""

from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from pipeline.distill.augmented_dataset import (
    augmented_batches,
    augmented_texts,
    in_students_vocabulary,
    load_task_teacher,
)
from pipeline.distill.layers import (
    ProjectedStudent,
    Teacher,
    both_pack,
    layer_flops,
    layer_loss,
    mapped_layers,
)
from pipeline.distill.random_tokens import RandomTokens
from pipeline.distill.start import start_from_task_teacher
from pipeline.heads import head_of
from pipeline.launch.stage_runner import run_stage
from pipeline.models.collate import Batch, Rows, collate
from pipeline.models.loading import load_tokenizer
from pipeline.models.seen_pieces import seen_pieces
from pipeline.models.vocabulary import cut_to
from pipeline.runtime.stage import Stage
from pipeline.training.loop import Job, train


def main(stage: Stage) -> dict[str, Any]:
    settings, general = stage.recipe.distill_layers, stage.upstream.get("distill_general")
    data = in_students_vocabulary(stage, augmented_texts(stage))
    head = head_of(data.texts.kind)
    torch.manual_seed(stage.recipe.seed)  # of the student's new head
    source = general or start_from_task_teacher(stage, data)
    whole = head.load(
        source / "student",
        label_names=data.label_names,
        new_head=general is not None,
        hidden_dropout=stage.recipe.student.hidden_dropout,
    )
    cut_to(whole, data.tokenizer, old_tokenizer=source / "student")
    teacher = Teacher.of(load_task_teacher(stage, data), stage)
    student = ProjectedStudent(
        cast(PreTrainedModel, whole.base_model), teacher_width=teacher.encoder.config.hidden_size
    )
    student.load_projections(source)
    packed, progress = both_pack(teacher, student), None
    if settings.epochs:
        read, noise = data.texts.piece_counts(), None
        if settings.random_tokens:
            noise = RandomTokens(load_tokenizer(data.tokenizer), share=settings.random_tokens, seed=stage.recipe.seed)
            read = noise.read_counts(read)

        def collated(rows: Rows, epoch: int) -> Batch:
            columns = data.texts.columns(rows)
            if noise:
                columns = noise.put_into(columns, rows, epoch)
            return collate(columns, data.texts.pad_id, packed=packed)

        layers = mapped_layers(stage, settings, teacher=teacher, student=student)
        job = Job(
            model=student,
            batches=augmented_batches(stage, data, settings, packed=packed),
            collate=collated,
            loss=layer_loss(teacher, layers, settings),
            settings=settings,
            flops=layer_flops(teacher, student, echo=settings.echo),
        )
        with seen_pieces(student.model, read):
            progress = train(job, stage)
    last = cast(nn.Linear, student.projections[-1])
    head.init_from_projection(whole, last, stage.recipe.student, teacher=stage.upstream["finetune_teacher"])
    if stage.is_main:
        (stage.output / "student").mkdir()
        head.save(whole, stage.output / "student", tokenizer_of=data.tokenizer)
        student.save_projections(stage.output)
    return {"curve": progress.curve if progress else []}


if __name__ == "__main__":
    run_stage("distill_layers", main)
