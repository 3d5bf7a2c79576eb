"""General distillation: the student learns the backbone's layers on unlabelled text (TinyBERT, section 3.2).

    accelerate launch -m stages.distill_general --recipe recipes/rotten_tomatoes.yaml

Reads:  the backbone (pretrain_teacher), the corpus (prepare_corpus).
Writes: student/, the general student's encoder with its tokenizer; projections.safetensors, for distill_layers.

With `epochs: 0` the student goes on as it begins.
"""

from typing import Any, cast

import numpy as np
import torch
from transformers import PreTrainedModel

from pipeline.config.objectives import MASKED_LM, chosen
from pipeline.data.corpus import Corpus
from pipeline.distill.layers import Distilled, freeze_unreached, layer_flops, layer_terms, mapped_layers
from pipeline.distill.objectives import masked_terms
from pipeline.launch.stage_runner import run_stage
from pipeline.models.collate import Inputs, Rows, model_inputs
from pipeline.models.loading import (
    backbone_of,
    freeze,
    load_masked_lm,
    load_tokenizer,
    new_student,
    parameter_count,
    proposer_of,
    save_model,
    separate_head,
    special_id,
)
from pipeline.models.student_init import begin_student, student_config
from pipeline.runtime.stage import Stage
from pipeline.training.batches import planned
from pipeline.training.loop import Job, train
from pipeline.training.masked_lm import MaskedBlocks


def main(stage: Stage) -> dict[str, Any]:
    settings, pretrained = stage.recipe.distill_general, stage.upstream["pretrain_teacher"]
    backbone, masked = backbone_of(pretrained), bool(chosen(settings, MASKED_LM))
    guesses = bool(settings.soft_masked_lm)  # the teacher's: it is then the masked LM, and needs its head
    whole = load_masked_lm(proposer_of(pretrained) if guesses else backbone, new_head=not guesses)
    teacher = cast(PreTrainedModel, whole.base_model)
    torch.manual_seed(stage.recipe.seed)
    given, dropout = stage.inputs.student, stage.recipe.student.hidden_dropout
    config = student_config(given, hidden_dropout=dropout) if given else None
    student = new_student(stage.recipe.student, teacher, masked_lm=masked, config=config)
    encoder = cast(PreTrainedModel, student.base_model)
    model = Distilled(
        encoder,
        student_width=stage.recipe.student.width,
        teacher_width=teacher.config.hidden_size,
        layers=stage.recipe.student.layers,
        head=separate_head(student) if masked else None,
    )
    model.begin_projections(begin_student(stage, encoder, teacher))
    progress = None
    if settings.epochs:
        corpus, tokenizer = Corpus(stage.upstream["prepare_corpus"]), load_tokenizer(backbone)
        pad_id = special_id(tokenizer, "pad_token_id")

        def collate(rows: Rows, epoch: int) -> Inputs:
            return model_inputs({"input_ids": [corpus[int(row)] for row in rows]}, pad_id)

        frozen = freeze(whole, precision=stage.precision).to(stage.accelerator.device)
        trunk = cast(PreTrainedModel, frozen.base_model)
        layers = mapped_layers(stage, settings, teacher=teacher.config, student=encoder.config)
        loss = layer_terms(trunk, layers, settings)
        if masked:
            vocabulary = encoder.config.vocab_size
            blocks = MaskedBlocks(
                corpus, np.arange(len(corpus)), tokenizer, vocab_size=vocabulary, seed=stage.recipe.seed
            )
            collate, head = blocks.collate, separate_head(frozen)
            loss = layer_terms(
                trunk if head else frozen, layers, settings, head=head, more=masked_terms(blocks, settings)
            )
        job = Job(
            model=model,
            batches=planned(corpus.lengths, settings, seed=stage.recipe.seed),
            collate=collate,
            loss=loss,
            settings=settings,
            flops=layer_flops(teacher, model),
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
