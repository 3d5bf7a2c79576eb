"""Prepare the corpus: unlabelled text, tokenised once into blocks of one length (TinyBERT, section 4.2).

    accelerate launch -m stages.prepare_corpus --recipe recipes/rotten_tomatoes.yaml

Reads:  the recipe's corpus files, the backbone's tokenizer, and, if asked, the task's training texts.
Writes: tokens-*.npy and lengths-*.npy, memory-mapped shards of blocks (pipeline/data/corpus.py); tokenizer/, where the
        recipe wants one made from these texts; held_out/, the same of documents that no stage trains on, where asked.

A part of a source is a unit of work: processes take parts by number and wait for nobody, and what is finished is not
done again after a crash.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.artifacts.shards import write_once
from pipeline.data.corpus import (
    HELD_OUT_FOLDER,
    SHORTEST,
    TOKENIZER,
    Corpus,
    blocks_of,
    causal_blocks_of,
    is_held_out,
    join_corpora,
    write_shards,
)
from pipeline.data.documents import file_parts, read_documents
from pipeline.data.new_tokenizer import write_bpe_tokenizer, write_tokenizer
from pipeline.errors import require
from pipeline.launch.stage_runner import run_stage
from pipeline.models.loading import load_tokenizer
from pipeline.models.saved_model import is_decoder
from pipeline.runtime.stage import Stage
from pipeline.tasks.labelled_data import read_task

Source = tuple[Path, range] | None  # a part of a file; None: the task's training texts


def main(stage: Stage) -> dict[str, Any]:
    settings = stage.recipe.prepare_corpus
    sources: list[Source] = [None] if settings.task_text else []  # first: pretrain_teacher.tokens may take no more
    sources += [(path, part) for path in stage.inputs.corpus for part in file_parts(path)]
    folder = stage.inputs.backbone
    if stage.recipe.pretrain_teacher.tokenizer == "train":
        folder = stage.work / TOKENIZER
        make_tokenizer(stage, sources, folder)
    tokenizer = load_tokenizer(folder)
    parts = [stage.work / f"part-{number:05d}" for number in range(len(sources))]
    left_out: Counter[str] = Counter()
    cut = causal_blocks_of if is_decoder(stage.inputs.backbone) else blocks_of

    def write_blocks(found: Iterable[str], folder: Path) -> None:
        blocks = cut(found, tokenizer, length=settings.length, left_out=left_out)
        write_shards(blocks, folder, shard_blocks=settings.shard_blocks, vocab_size=len(tokenizer))

    def write_part(source: Source, folder: Path) -> None:
        apart: list[str] = []
        write_blocks(trained_on(documents(stage, source), apart, held_out=settings.held_out or 0.0), folder)
        if apart:
            write_blocks(apart, folder / HELD_OUT_FOLDER)
        if source is None and left_out["short"]:  # the first part, which the main process cuts
            short = f"{left_out['short']:,} of the task's texts have fewer than {SHORTEST} tokens"
            stage.say(f"{short}, special ones included, and are left out (prepare_corpus.task_text)")

    stage.work_through(
        lambda number: write_once(partial(write_part, sources[number]), parts[number]),
        results=parts,
        sizes=[1] * len(parts),
        unit="part",
    )
    if not stage.is_main:
        return {}
    require(
        join_corpora(parts, stage.output),
        f"prepare_corpus: no text is long enough for a block of {SHORTEST} tokens; give longer ones (sources)",
    )
    measured = gather_held_out(parts, stage) if settings.held_out else {}
    if folder == stage.work / TOKENIZER:
        shutil.copytree(folder, stage.output / TOKENIZER)
    corpus = Corpus(stage.output)
    tokens = int(corpus.lengths.sum())
    stage.say(f"{len(corpus)} blocks, {tokens} tokens")
    return {"blocks": len(corpus), "tokens": tokens, **measured}


def make_tokenizer(stage: Stage, sources: list[Source], folder: Path) -> None:
    """Make a tokenizer from all texts, by the main process; the others wait for it."""

    def texts() -> Iterator[str]:
        return (document for source in sources for document in documents(stage, source))

    make = write_bpe_tokenizer if is_decoder(stage.inputs.backbone) else write_tokenizer
    write = partial(make, texts, pieces=stage.recipe.pretrain_teacher.pieces)
    stage.work_through(lambda _: write_once(write, folder), results=[folder], sizes=[1], unit="tokenizer")
    stage.say(f"a tokenizer of {len(load_tokenizer(folder)):,} pieces, made from the texts")


def documents(stage: Stage, source: Source) -> Iterator[str]:
    """The documents of a part of a file, or of the task's training texts. Raises Interrupted when asked to stop."""
    if source is None:
        found = task_texts(stage)
    else:
        found = read_documents(source[0], column=stage.recipe.prepare_corpus.column, part=source[1])
    for document in found:
        stage.stop_if_asked_here("the last whole part")
        yield document


def trained_on(documents: Iterable[str], apart: list[str], *, held_out: float) -> Iterator[str]:
    """The documents to train on. Those that measure, a share of them, are added to `apart`."""
    for document in documents:
        if is_held_out(document, held_out):
            apart.append(document)
        else:
            yield document


def task_texts(stage: Stage) -> Iterator[str]:
    """Texts of training rows only: what dev and test hold must stay unseen."""
    data = read_task(stage.recipe.task, stage.inputs.task)
    yield from data.kind.corpus_texts(data.splits["train"])


def gather_held_out(parts: list[Path], stage: Stage) -> dict[str, Any]:
    """The shards of what measures; how much it is, for the manifest."""
    share, folder = stage.recipe.prepare_corpus.held_out, stage.output / HELD_OUT_FOLDER
    folder.mkdir()
    require(
        join_corpora((part / HELD_OUT_FOLDER for part in parts), folder),
        f"prepare_corpus.held_out: a share of {share:g} holds out less than one block of text; raise it, or give more"
        " documents (in .txt files a blank line ends one)",
    )
    corpus = Corpus(folder)
    stage.say(f"{len(corpus)} blocks of held-out documents, {corpus.lengths.sum()} tokens: no stage trains on them")
    return {"held_out_blocks": len(corpus), "held_out_tokens": int(corpus.lengths.sum())}


if __name__ == "__main__":
    run_stage("prepare_corpus", main)
