"""Task distillation, first step: the layers of the task's teacher (TinyBERT, section 3.3).

    accelerate launch -m stages.distill_layers --recipe recipes/rotten_tomatoes.yaml

Reads:  the task's teacher (finetune_teacher), the augmented dataset, the general student (distill_general); or the
        student begins with layers of the task's teacher (`student.copy_from`).
Writes: student/, after its last step, since no dev score says which step copies layers best; its head is untrained.
        projections.safetensors.
"""

from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from pipeline.distill.augmented_dataset import augmented_batches, augmented_texts
from pipeline.distill.layers import beside_teacher, copied_student, freeze_unreached, layer_flops
from pipeline.launch.stage_runner import run_stage
from pipeline.models.collate import Inputs, Rows
from pipeline.runtime.stage import Stage
from pipeline.training.loop import Job, train


def main(stage: Stage) -> dict[str, Any]:
    settings, general = stage.recipe.distill_layers, stage.upstream.get("distill_general")
    data = augmented_texts(stage)
    kind = data.texts.kind
    torch.manual_seed(stage.recipe.seed)  # of the student's new head
    begun = general or copied_student(stage, data)
    student = kind.load(
        begun / "student",
        label_names=data.label_names,
        new_head=general is not None,
        hidden_dropout=stage.recipe.student.hidden_dropout,
    )
    model, loss, teacher = beside_teacher(stage, cast(PreTrainedModel, student.base_model), data, settings)
    model.load_projections(begun)
    progress = None
    if settings.epochs:

        def collate(rows: Rows, epoch: int) -> Inputs:
            return data.texts.collate(rows)

        job = Job(
            model=model,
            batches=augmented_batches(stage, data, settings),
            collate=collate,
            loss=loss,
            settings=settings,
            flops=layer_flops(teacher, model),
        )
        freeze_unreached(job, stage)
        progress = train(job, stage)
    kind.begin_head(student, cast(nn.Linear, model.projections[-1]), stage.recipe.student)
    if stage.is_main:
        (stage.output / "student").mkdir()
        kind.save(student, stage.output / "student", tokenizer_of=begun / "student")
        model.save_projections(stage.output)
    return {"curve": progress.curve if progress else []}


if __name__ == "__main__":
    run_stage("distill_layers", main)
