"""Prepare the corpus: unlabelled text, tokenised once into blocks of one length (TinyBERT, section 4.2).

    accelerate launch -m stages.prepare_corpus --recipe recipes/rotten_tomatoes.yaml

Reads:  the recipe's corpus files, the backbone's tokenizer, and, if asked, the task's training texts.
Writes: tokens-*.npy and lengths-*.npy, memory-mapped shards of blocks (pipeline/corpus.py).

Each source is a unit of work: processes take sources by number, and a finished one is not done again after a crash.
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pipeline.corpus import Corpus, blocks_of, write_shards
from pipeline.corpus_readers import read_documents
from pipeline.errors import UserError
from pipeline.models import load_tokenizer
from pipeline.stage import Stage, run_stage
from pipeline.tasks import read_task


def main(stage: Stage) -> dict[str, Any]:
    settings = stage.recipe.prepare_corpus
    tokenizer = load_tokenizer(stage.inputs.backbone)
    count = len(stage.inputs.corpus) + settings.task_text
    parts = [stage.work / f"source-{number:05d}" for number in range(count)]
    for number in stage.shares(count):
        if parts[number].exists():
            continue
        building = parts[number].with_suffix(".tmp")
        shutil.rmtree(building, ignore_errors=True)
        blocks = blocks_of(documents(stage, number), tokenizer, length=settings.length)
        write_shards(blocks, building, shard_blocks=settings.shard_blocks, vocab_size=len(tokenizer))
        building.rename(parts[number])
    stage.accelerator.wait_for_everyone()
    if not stage.is_main:
        return {}
    gather(parts, stage.output)
    corpus = Corpus(stage.output)
    tokens = int(corpus.lengths.sum())
    stage.say(f"{len(corpus)} blocks, {tokens} tokens")
    return {"blocks": len(corpus), "tokens": tokens}


def documents(stage: Stage, number: int) -> Iterable[str]:
    """The documents of one source; the task's training texts come last."""
    if number < len(stage.inputs.corpus):
        return read_documents(stage.inputs.corpus[number], column=stage.recipe.prepare_corpus.column)
    return task_texts(stage)


def task_texts(stage: Stage) -> Iterator[str]:
    """Texts of training rows only: what dev and test hold must stay unseen."""
    for example in read_task(stage.recipe.task, stage.inputs.task).splits["train"]:
        yield from example.texts


def gather(parts: list[Path], output: Path) -> None:
    """The shards of all sources, numbered on."""
    shards = [path for part in parts for path in sorted(part.glob("tokens-*.npy"))]
    if not shards:
        raise UserError("prepare_corpus.sources: no text is long enough for a block of 16 tokens; give more text")
    for number, tokens in enumerate(shards):
        for path in (tokens, tokens.with_name(tokens.name.replace("tokens", "lengths"))):
            shutil.copyfile(path, output / f"{path.name.split('-')[0]}-{number:05d}.npy")


if __name__ == "__main__":
    run_stage("prepare_corpus", main)
