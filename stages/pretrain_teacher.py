"""Pretrain the teacher: masked-LM training of the backbone (BERT, section 3.1), from scratch or continued.

    accelerate launch -m stages.pretrain_teacher --recipe recipes/rotten_tomatoes.yaml

Reads:  the backbone, and the corpus when the recipe wants any training.
Writes: backbone/, which teacher and student start from; masked_lm/, which proposes words, where it is another model
        (`only_proposes`: little text makes a head, and harms the layers below it as a start for fine-tuning).

Any BERT, with a head or without, can propose words after it. With `epochs: 0` the checkpoint goes on as it is.
"""

from typing import Any

import torch
from transformers import AutoModelForMaskedLM

from pipeline.data.corpus import TOKENIZER, Corpus
from pipeline.launch.stage_runner import run_stage
from pipeline.models.attention import can_pack
from pipeline.models.loading import (
    PROPOSER,
    attention_of,
    backbone_of,
    copy_model_files,
    load_config,
    load_masked_lm,
    load_tokenizer,
    pooler_of,
    save_model,
)
from pipeline.models.saved_model import special_id
from pipeline.runtime.stage import Stage
from pipeline.training.batches import planned
from pipeline.training.loop import Job, train
from pipeline.training.masked_lm import (
    MaskedBlocks,
    MaskedLM,
    first_blocks,
    masked_accuracy,
    split_blocks,
    start_bias,
    train_only,
)


def main(stage: Stage) -> dict[str, Any]:
    settings, backbone = stage.recipe.pretrain_teacher, stage.inputs.backbone
    if stage.is_main and (settings.only_proposes or not settings.epochs):
        copy_model_files(backbone, backbone_of(stage.output))
    if not settings.epochs:
        return {}
    torch.manual_seed(settings.seed)
    tokenizer_of = stage.upstream["prepare_corpus"] / TOKENIZER if settings.tokenizer == "train" else backbone
    tokenizer = load_tokenizer(tokenizer_of)
    if settings.from_scratch:
        config = load_config(backbone, hidden_dropout=settings.hidden_dropout)
        if settings.tokenizer == "train":
            config.vocab_size, config.pad_token_id = len(tokenizer), special_id(tokenizer, "pad_token_id")
        plain = AutoModelForMaskedLM.from_config(config, attn_implementation=attention_of(config))
    else:
        plain = load_masked_lm(backbone, new_head=True, hidden_dropout=settings.hidden_dropout)
    if settings.upper_layers is not None:
        train_only(plain, settings.upper_layers)
    model = MaskedLM(plain.to(stage.accelerator.device))
    packed = can_pack(plain)
    corpus = Corpus(stage.upstream["prepare_corpus"])
    trained, measured = (
        MaskedBlocks(
            corpus,
            rows,
            tokenizer,
            vocab_size=plain.config.vocab_size,
            seed=settings.seed,
            packed=packed,
            share=settings.mask_share,
        )
        for rows in split_blocks(
            first_blocks(corpus.lengths, settings.tokens), held_out=settings.held_out, seed=settings.seed
        )
    )
    start_bias(plain, corpus, special=tokenizer.all_special_ids)
    before = masked_accuracy(model, measured, stage, tokens=settings.tokens_at_once)
    job = Job(
        model=model,
        batches=planned(trained.lengths, settings, seed=settings.seed),
        collate=trained.collate,
        loss=trained.loss,
        settings=settings,
        flops=lambda batch: model.flops(batch, trained.masked_count(batch)),
    )
    progress = train(job, stage)
    after = masked_accuracy(model, measured, stage, tokens=settings.tokens_at_once)
    stage.say(f"masked accuracy on held-out blocks: {before:.1%} before, {after:.1%} after")
    if stage.is_main:
        place = stage.output / PROPOSER if settings.only_proposes else backbone_of(stage.output)
        save_model(
            plain, place, tokenizer_of=tokenizer_of, extra={} if settings.from_scratch else pooler_of(backbone, plain)
        )
    return {"masked_accuracy_before": before, "masked_accuracy_after": after, "curve": progress.curve}


if __name__ == "__main__":
    run_stage("pretrain_teacher", main)
