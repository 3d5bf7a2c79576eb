"""General distillation: the student learns the backbone's layers on unlabelled text (TinyBERT, section 3.2).

A decoder's student learns the next token and the teacher's guesses at it too.

    accelerate launch -m stages.distill_general --recipe recipes/rotten_tomatoes.yaml

Reads:  the backbone (pretrain_teacher), the corpus (prepare_corpus).
Writes: student/, the general student's encoder and its tokenizer (a decoder, or where asked a masked LM, with its
        head); projections.safetensors, for distill_layers.

With `epochs: 0` the student stays as it starts, say fitted to the backbone on the corpus.
"""

from typing import Any, cast

import numpy as np
import torch
from transformers import PreTrainedModel

from pipeline.config.objectives import CAUSAL_LM, MASKED_LM, chosen
from pipeline.data.corpus import Corpus
from pipeline.distill.layers import (
    ProjectedStudent,
    Teacher,
    both_pack,
    layer_flops,
    layer_loss,
    mapped_layers,
)
from pipeline.distill.objectives import language_model_terms
from pipeline.distill.start import fit_student, start_masked_lm_head
from pipeline.launch.stage_runner import run_stage
from pipeline.models.architectures import start_of
from pipeline.models.collate import Batch, Rows, collate
from pipeline.models.loading import (
    backbone_of,
    distilled_from,
    load_language_model,
    load_tokenizer,
    parameter_count,
    save_model,
    separate_head,
)
from pipeline.models.new_student import new_student
from pipeline.models.saved_model import is_decoder, model_shape, special_id
from pipeline.models.student_init import init_decoder, init_student, student_config
from pipeline.models.trace import Wanted
from pipeline.runtime.stage import Stage
from pipeline.training.batches import planned
from pipeline.training.causal_lm import CausalBlocks
from pipeline.training.loop import Job, train
from pipeline.training.masked_lm import MaskedBlocks


def main(stage: Stage) -> dict[str, Any]:
    settings, pretrained = stage.recipe.distill_general, stage.upstream["pretrain_teacher"]
    decoder = is_decoder(backbone_of(pretrained))
    with_head = decoder or settings.needs_teacher_head
    teacher_model = load_language_model(distilled_from(pretrained, settings), new_head=not with_head)
    student, saved = make_decoder(stage, teacher_model) if decoder else make_student(stage, teacher_model)
    progress = None
    if settings.epochs:
        teacher = Teacher.of(teacher_model, stage, with_lm_head=bool(chosen(settings, (*MASKED_LM, *CAUSAL_LM))))
        job = general_job(stage, teacher, student)
        progress = train(job, stage)
    if stage.is_main:
        (stage.output / "student").mkdir()
        save_model(saved, stage.output / "student", tokenizer_of=backbone_of(pretrained))
        student.save_projections(stage.output)
    return {"parameters": parameter_count(saved), "curve": progress.curve if progress else []}


def make_decoder(stage: Stage, teacher: PreTrainedModel) -> tuple[ProjectedStudent, PreTrainedModel]:
    """A decoder as the recipe initialises it: as it learns, and with its head as it is saved."""
    settings, existing = stage.recipe.student, stage.inputs.student
    config = student_config(existing, hidden_dropout=settings.hidden_dropout) if existing else None
    torch.manual_seed(stage.recipe.seed)
    whole = new_student(settings, teacher, with_lm_head=True, config=config)
    trunk = cast(PreTrainedModel, whole.base_model)
    student = ProjectedStudent(trunk, teacher_width=teacher.config.hidden_size, lm_head=separate_head(whole))
    student.init_projections(init_decoder(whole, settings, teacher=teacher, existing=existing))
    return student, whole


def make_student(stage: Stage, teacher_model: PreTrainedModel) -> tuple[ProjectedStudent, PreTrainedModel]:
    """The student as the recipe initialises it: as it learns, and as it is saved, with a masked-LM head where asked."""
    settings, existing = stage.recipe.student, stage.inputs.student
    teacher = cast(PreTrainedModel, teacher_model.base_model)
    masked_lm = bool(chosen(stage.recipe.distill_general, MASKED_LM))
    config = student_config(existing, hidden_dropout=settings.hidden_dropout) if existing else None
    torch.manual_seed(stage.recipe.seed)
    whole = new_student(settings, teacher, with_lm_head=masked_lm, config=config)
    encoder = cast(PreTrainedModel, whole.base_model)
    head = separate_head(whole) if masked_lm else None
    student = ProjectedStudent(encoder, teacher_width=teacher.config.hidden_size, lm_head=head)
    if start_of(settings, teacher.config.model_type) == "fitted":
        corpus = Corpus(stage.upstream["prepare_corpus"])
        tokenizer = load_tokenizer(backbone_of(stage.upstream["pretrain_teacher"]))
        known = fit_student(
            stage,
            encoder,
            teacher,
            columns=lambda rows: {"input_ids": [corpus[int(row)] for row in rows]},
            lengths=corpus.lengths,
            pad_id=special_id(tokenizer, "pad_token_id"),
        )
    else:
        if settings.start is None and existing is None:
            kinds = f"a {settings.architecture} to a {teacher.config.model_type}"
            stage.say(f"the student starts at random: {kinds} cannot be fitted, only a bert to what is like one")
        known = init_student(encoder, settings, teacher=teacher, existing=existing)
    student.init_projections(known)
    if not stage.recipe.distill_general.masked_lm_head:
        return student, encoder
    blocks = masked_blocks(stage, packed=False)
    start_masked_lm_head(stage, whole, teacher_model, lambda rows: blocks.collate(rows, 0), blocks.lengths)
    return student, whole


def general_job(stage: Stage, teacher: Teacher, student: ProjectedStudent) -> Job:
    """The training on the corpus: the layers, and masked tokens where the recipe gives them a weight."""
    settings, corpus = stage.recipe.distill_general, Corpus(stage.upstream["prepare_corpus"])
    layers = mapped_layers(stage, settings, teacher=teacher, student=student)
    tokenizer = load_tokenizer(backbone_of(stage.upstream["pretrain_teacher"]))
    packed = both_pack(teacher, student)

    def blocks_as_they_are(rows: Rows, epoch: int) -> Batch:
        padding = special_id(tokenizer, "pad_token_id")
        return collate({"input_ids": [corpus[int(row)] for row in rows]}, padding, packed=packed)

    if chosen(settings, (*MASKED_LM, *CAUSAL_LM)):
        causal = chosen(settings, CAUSAL_LM)
        blocks = CausalBlocks(corpus, np.arange(len(corpus))) if causal else masked_blocks(stage, packed=packed)
        more, wanted = language_model_terms(blocks, settings), Wanted(predicted_logits=True)
        collated, loss = blocks.collate, layer_loss(teacher, layers, settings, more=more, more_wants=wanted)
    else:
        collated, loss = blocks_as_they_are, layer_loss(teacher, layers, settings)
    return Job(
        model=student,
        batches=planned(corpus.lengths, settings, seed=stage.recipe.seed, packed=packed),
        collate=collated,
        loss=loss,
        settings=settings,
        flops=layer_flops(teacher, student, echo=settings.echo),
    )


def masked_blocks(stage: Stage, *, packed: bool) -> MaskedBlocks:
    """The blocks of the corpus, with masked tokens."""
    corpus, folder = Corpus(stage.upstream["prepare_corpus"]), backbone_of(stage.upstream["pretrain_teacher"])
    vocabulary, tokenizer = model_shape(folder, "backbone").vocab_size, load_tokenizer(folder)
    rows, seed = np.arange(len(corpus)), stage.recipe.seed
    return MaskedBlocks(corpus, rows, tokenizer, vocab_size=vocabulary, seed=seed, packed=packed)


if __name__ == "__main__":
    run_stage("distill_general", main)
