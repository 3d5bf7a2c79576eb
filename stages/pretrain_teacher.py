"""Pretrain the teacher: masked-LM training of the backbone (BERT, section 3.1), from scratch or continued.

    accelerate launch -m stages.pretrain_teacher --recipe recipes/rotten_tomatoes.yaml

Reads:  the backbone, and the corpus when the recipe wants any training.
Writes: the backbone of every later stage, with its masked-LM head and tokenizer.

Any BERT, with a head or without, can propose words after it. With `epochs: 0` the checkpoint goes on as it is.
"""

from typing import Any

import torch
from transformers import AutoModelForMaskedLM

from pipeline.batches import BatchPlan
from pipeline.corpus import Corpus
from pipeline.masked_lm import MaskedBlocks, MaskedLM, masked_accuracy, split_blocks
from pipeline.models import copy_model_files, load_config, load_masked_lm, load_tokenizer, pooler_of, save_model
from pipeline.stage import Stage, run_stage
from pipeline.traces import ATTENTION
from pipeline.training import Job, train


def main(stage: Stage) -> dict[str, Any]:
    settings, backbone = stage.recipe.pretrain_teacher, stage.inputs.backbone
    if not settings.epochs:
        if stage.is_main:
            copy_model_files(backbone, stage.output)
        return {}
    torch.manual_seed(settings.seed)
    if settings.from_scratch:
        config = load_config(backbone, hidden_dropout=settings.hidden_dropout)
        plain = AutoModelForMaskedLM.from_config(config, attn_implementation=ATTENTION)
    else:
        plain = load_masked_lm(backbone, new_head=True, hidden_dropout=settings.hidden_dropout)
    if settings.train == "head":
        plain.base_model.requires_grad_(False)
    model = MaskedLM(plain.to(stage.accelerator.device))
    tokenizer = load_tokenizer(backbone)
    corpus = Corpus(stage.upstream["prepare_corpus"])
    trained, measured = (
        MaskedBlocks(
            corpus,
            rows,
            tokenizer,
            vocab_size=plain.config.vocab_size,
            seed=settings.seed,
            share=settings.mask_share,
        )
        for rows in split_blocks(len(corpus), held_out=settings.held_out, seed=settings.seed)
    )
    before = masked_accuracy(model, measured, stage, tokens=settings.micro_batch_tokens)
    batches = BatchPlan(
        trained.lengths,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        micro_batch_tokens=settings.micro_batch_tokens,
        seed=settings.seed,
    )
    train(Job(model=model, batches=batches, collate=trained.collate, loss=trained.loss, settings=settings), stage)
    after = masked_accuracy(model, measured, stage, tokens=settings.micro_batch_tokens)
    stage.say(f"masked accuracy on held-out blocks: {before:.1%} before, {after:.1%} after")
    if stage.is_main:
        save_model(plain, stage.output, tokenizer_of=backbone, extra=pooler_of(backbone, plain))
    return {"masked_accuracy_before": before, "masked_accuracy_after": after}


if __name__ == "__main__":
    run_stage("pretrain_teacher", main)
