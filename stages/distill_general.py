"""General distillation: the student learns the backbone's layers on unlabelled text (TinyBERT, section 3.2).

    accelerate launch -m stages.distill_general --recipe recipes/rotten_tomatoes.yaml

Reads:  the backbone (pretrain_teacher), the corpus (prepare_corpus).
Writes: student/, the general student's encoder with its tokenizer; projections.safetensors, for distill_layers.

With `epochs: 0` the student goes on as it begins.
"""

from typing import Any

import torch

from pipeline.batches import BatchPlan, Inputs, Rows, model_inputs
from pipeline.corpus import Corpus
from pipeline.distillation import Distilled, freeze_unreached, layer_flops, layer_terms, mapped_layers
from pipeline.models import (
    backbone_of,
    copy_embeddings,
    load_encoder,
    load_tokenizer,
    new_student,
    parameter_count,
    save_model,
    special_id,
)
from pipeline.stage import Stage, run_stage
from pipeline.traces import freeze
from pipeline.training import Job, train


def main(stage: Stage) -> dict[str, Any]:
    settings, backbone = stage.recipe.distill_general, backbone_of(stage.upstream["pretrain_teacher"])
    teacher = load_encoder(backbone)
    torch.manual_seed(stage.recipe.seed)
    encoder = new_student(stage.recipe.student, teacher)
    model = Distilled(
        encoder,
        student_width=stage.recipe.student.width,
        teacher_width=teacher.config.hidden_size,
        layers=stage.recipe.student.layers,
    )
    if stage.recipe.student.embeddings == "teacher":
        model.begin_embedding_projection(copy_embeddings(encoder, teacher))
    progress = None
    if settings.epochs:
        corpus = Corpus(stage.upstream["prepare_corpus"])
        pad_id = special_id(load_tokenizer(backbone), "pad_token_id")
        batches = BatchPlan(
            corpus.lengths,
            batch_size=settings.batch_size,
            epochs=settings.epochs,
            micro_batch_tokens=settings.micro_batch_tokens,
            seed=stage.recipe.seed,
        )

        def collate(rows: Rows, epoch: int) -> Inputs:
            return model_inputs({"input_ids": [corpus[int(row)] for row in rows]}, pad_id)

        frozen = freeze(teacher, precision=stage.precision).to(stage.accelerator.device)
        layers = mapped_layers(stage, settings, teacher=teacher.config, student=encoder.config)
        loss = layer_terms(frozen, layers, settings)
        job = Job(
            model=model,
            batches=batches,
            collate=collate,
            loss=loss,
            settings=settings,
            flops=layer_flops(frozen, model),
        )
        freeze_unreached(job, stage)
        progress = train(job, stage)
    if stage.is_main:
        (stage.output / "student").mkdir()
        save_model(encoder, stage.output / "student", tokenizer_of=backbone)
        model.save_projections(stage.output)
    return {"parameters": parameter_count(encoder.parameters()), "curve": progress.curve if progress else []}


if __name__ == "__main__":
    run_stage("distill_general", main)
