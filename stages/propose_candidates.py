"""Propose candidates: what could stand at each word of the task's texts (TinyBERT, Algorithm 1).

    accelerate launch -m stages.propose_candidates --recipe recipes/rotten_tomatoes.yaml

Reads:  the backbone's masked LM (pretrain_teacher), the task's training and unlabelled texts, word vectors if named.
Writes: data/candidates-*.parquet: text, span, word, source (masked_lm, vectors), candidates, scores.

A fixed shard of texts is a unit of work: processes take shards by number, and finished ones are not done again after a
crash. Batches are formed inside a shard, so the candidates do not depend on the number of processes.
"""

import shutil
from collections import Counter
from functools import partial
from typing import Any

import pyarrow.parquet as pq

from data_augment.candidates_folder import shard_path, write_candidates
from data_augment.placeholders import PLACEHOLDERS
from data_augment.proposer import Proposer, shards
from data_augment.vectors import load_vectors
from pipeline.artifacts.atomic import link_or_copy
from pipeline.data.languages import languages_of
from pipeline.launch.stage_runner import run_stage
from pipeline.models.loading import freeze, load_language_model, load_tokenizer, proposer_of
from pipeline.runtime.stage import Stage
from pipeline.tasks.labelled_data import read_task


def main(stage: Stage) -> dict[str, Any]:
    settings, folder = stage.recipe.propose_candidates, proposer_of(stage.upstream["pretrain_teacher"])
    texts = read_task(stage.recipe.task, stage.inputs.task).texts_to_vary()
    languages = languages_of(texts, stage.recipe.task.language)
    stage.say(f"language: {languages}")
    if settings.placeholders and (kept := sum(PLACEHOLDERS.search(text) is not None for text in texts)):
        stage.say(f"{kept} texts have placeholders or addresses, which stay (propose_candidates.placeholders)")
    parts = shards(texts, shard_texts=settings.shard_texts)
    model = freeze(load_language_model(folder), precision=stage.precision).to(stage.accelerator.device)
    tokenizer = load_tokenizer(folder)
    vectors = None
    if settings.several_pieces == "masked_lm":
        stage.say("words of several pieces: the masked LM proposes for them")
    elif stage.inputs.vectors is not None:
        vectors = load_vectors(stage.inputs.vectors, vector_words=settings.vector_words)
    elif settings.several_pieces == "vectors":
        stage.say("no word vectors: words of several pieces stay as they are")
    proposer = Proposer(
        settings=settings,
        tokenizer=tokenizer,
        model=model,
        vectors=vectors,
        languages=languages,
        word_share=stage.recipe.word_share,
        precision=stage.precision,
    )

    paths = [shard_path(stage.work, index=number, count=len(parts)) for number in range(len(parts))]
    stage.work_through(
        lambda number: write_candidates(partial(proposer.shard, parts[number]), paths[number]),
        results=paths,
        sizes=[len(part) for part in parts],
        unit="text",
    )
    if not stage.is_main:
        return {}
    hidden = shutil.ignore_patterns(".*")
    shutil.copytree(stage.work / "data", stage.output / "data", ignore=hidden, copy_function=link_or_copy)
    sources: Counter[str] = Counter()
    with_candidates = 0
    for path in sorted((stage.output / "data").iterdir()):  # one at a time: a text has many rows, all in one shard
        found = pq.read_table(path, columns=["text", "source"], read_dictionary=["text"])
        sources.update(found["source"].to_pylist())
        with_candidates += len(found["text"].unique())
    stage.say(f"{with_candidates} of {len(texts)} texts have a word that can be replaced")
    return {
        "texts": len(texts),
        "texts_with_candidates": with_candidates,
        "words": dict(sorted(sources.items())),
        "languages": list(languages.found),
    }


if __name__ == "__main__":
    run_stage("propose_candidates", main)
