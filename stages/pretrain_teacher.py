"""Pretrain the teacher: masked-LM training of the backbone (BERT, section 3.1), from scratch or continued.

A decoder learns the next token instead (GPT-2).

    accelerate launch -m stages.pretrain_teacher --recipe recipes/rotten_tomatoes.yaml

Reads:  the backbone, and the corpus when the recipe wants any training.
Writes: backbone/, which teacher and student start from; masked_lm/, which proposes words, where it is another model
        (`only_proposes`: little text makes a head, and harms the layers below it as a start for fine-tuning).

Any BERT, with a head or without, can propose words after it. With `epochs: 0` the checkpoint goes on as it is.
"""

from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from pipeline.data.corpus import TOKENIZER, Corpus
from pipeline.launch.stage_runner import run_stage
from pipeline.models.attention import can_pack
from pipeline.models.loading import (
    PROPOSER,
    backbone_of,
    copy_model_files,
    load_config,
    load_language_model,
    load_tokenizer,
    pooler_of,
    random_language_model,
    save_model,
)
from pipeline.models.saved_model import is_decoder, special_id
from pipeline.runtime.stage import Stage
from pipeline.training.batches import planned
from pipeline.training.causal_lm import CausalBlocks
from pipeline.training.language_model import LanguageModel
from pipeline.training.loop import Job, train
from pipeline.training.masked_lm import MaskedBlocks, first_blocks, split_blocks, start_bias
from pipeline.training.optimizer import train_only


def main(stage: Stage) -> dict[str, Any]:
    settings, backbone = stage.recipe.pretrain_teacher, stage.inputs.backbone
    if stage.is_main and (settings.only_proposes or not settings.epochs):
        copy_model_files(backbone, backbone_of(stage.output))
    if not settings.epochs:
        return {}
    torch.manual_seed(settings.seed)
    tokenizer_of = stage.upstream["prepare_corpus"] / TOKENIZER if settings.tokenizer == "train" else backbone
    tokenizer = load_tokenizer(tokenizer_of)
    plain = untrained(stage, tokenizer)
    if settings.upper_layers is not None:
        train_only(plain, settings.upper_layers)
    model = LanguageModel(plain.to(stage.accelerator.device))
    corpus = Corpus(stage.upstream["prepare_corpus"])
    rows = split_blocks(first_blocks(corpus.lengths, settings.tokens), held_out=settings.held_out, seed=settings.seed)
    if is_decoder(backbone):
        trained, measured = (CausalBlocks(corpus, part) for part in rows)
    else:
        how = {"vocab_size": plain.config.vocab_size, "seed": settings.seed, "packed": can_pack(plain)}
        trained, measured = (MaskedBlocks(corpus, part, tokenizer, share=settings.mask_share, **how) for part in rows)
        start_bias(plain, corpus, special=tokenizer.all_special_ids)
    before = measured.measure(model, stage, tokens=settings.tokens_at_once)
    job = Job(
        model=model,
        batches=planned(trained.lengths, settings, seed=settings.seed, packed=trained.packed),
        collate=trained.collate,
        loss=trained.loss,
        settings=settings,
        flops=lambda batch: model.flops(batch, trained.predicted_count(batch)),
    )
    progress = train(job, stage)
    after = measured.measure(model, stage, tokens=settings.tokens_at_once)
    name, scores = measured.metric, {}
    if before is None or after is None:
        stage.say(f"no block is held out (pretrain_teacher.held_out), so no {name.replace('_', ' ')} is measured")
    else:
        shown = [format(value, measured.metric_format) for value in (before, after)]
        stage.say(f"{name.replace('_', ' ')} on held-out blocks: {shown[0]} before, {shown[1]} after")
        scores = {f"{name}_before": before, f"{name}_after": after}
    if stage.is_main:
        folder = stage.output / PROPOSER if settings.only_proposes else backbone_of(stage.output)
        save_model(
            plain, folder, tokenizer_of=tokenizer_of, extra={} if settings.from_scratch else pooler_of(backbone, plain)
        )
    return {**scores, "curve": progress.curve}


def untrained(stage: Stage, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """The backbone with its head as the training finds it, or one like it with random weights."""
    settings, backbone = stage.recipe.pretrain_teacher, stage.inputs.backbone
    if not settings.from_scratch:
        return load_language_model(backbone, new_head=True, hidden_dropout=settings.hidden_dropout)
    config: Any = load_config(backbone, hidden_dropout=settings.hidden_dropout)
    if settings.tokenizer == "train":
        config.vocab_size = len(tokenizer)
        if is_decoder(backbone):
            config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
        else:
            config.pad_token_id = special_id(tokenizer, "pad_token_id")
    return random_language_model(config)


if __name__ == "__main__":
    run_stage("pretrain_teacher", main)
