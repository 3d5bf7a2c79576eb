"""The augmented dataset: a folder that `datasets.load_dataset(folder)` and `pandas.read_parquet(folder/"data")` read.

Its data/train-00000-of-0000N.parquet hold the rows of `variants.augment_rows`, label names included; README.md, written
last, is its card.

A shard, a fixed slice of the examples with their variants, is a unit of work: processes take shards by number, and what
is there is not done again after a crash.
"""

import gc
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from itertools import islice
from operator import add
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, List, Value

from data_augment.card import Statistics, dataset_card
from data_augment.variants import Row
from pipeline.artifacts.shards import write_once

CARD_FILE = "README.md"
COUNTS = "counts"  # what was counted, shard by shard; gone when the card is there
SHARD_EXAMPLES = 25_000
BATCH_ROWS = 10_000  # held in memory at once; a row group of the file

Shard = Callable[[Counter[str]], Iterable[Row]]
"""Makes the rows of a shard, each original before its variants, and counts the variants that it drops."""

REPLACED = List(
    {
        "column": Value("string"),
        "start": Value("int32"),  # characters of the original text
        "end": Value("int32"),
        "old": Value("string"),
        "new": Value("string"),
        "source": Value("string"),  # masked_lm or vectors
    }
)


def augmented_features(features: Features) -> Features:
    """Features of the augmented rows, from those of the task's rows: "id" becomes `source_id`."""
    shared = {name: feature for name, feature in features.items() if name != "id"}
    return Features({"source_id": features["id"], **shared, "variant": Value("int32"), "replaced": REPLACED})


def shard_paths(folder: Path, count: int) -> list[Path]:
    """Where the shards of a dataset lie."""
    return [folder / "data" / f"train-{number:05d}-of-{count:05d}.parquet" for number in range(count)]


def count_paths(folder: Path, count: int) -> list[Path]:
    """Where what was counted in the shards lies."""
    return [folder / COUNTS / f"{number:05d}.json" for number in range(count)]


def write_shard(
    shard: Shard, folder: Path, *, number: int, count: int, features: Features, text_columns: Sequence[str]
) -> None:
    """Write a shard and its counts, unless they are there. The same rows give the same bytes.

    Args:
        shard: not called where it is there.
        folder: new, or with shards of the same dataset.
        number: of the shard, from 0.
        count: how many shards the whole dataset has.
        features: of the task's rows ("id", texts, label), in the order that the columns shall have.
    """
    schema = augmented_features(features).arrow_schema

    def write(data: Path, counts: Path) -> None:
        statistics = Statistics()
        rows = statistics.count(shard(statistics.dropped), text_columns)
        with pq.ParquetWriter(data, schema) as writer, _without_cycle_collector():
            while batch := list(islice(rows, BATCH_ROWS)):
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
        counts.write_text(statistics.text(), encoding="utf-8")

    write_once(write, shard_paths(folder, count)[number], count_paths(folder, count)[number])


def read_counts(folder: Path) -> Statistics:
    """What was counted in all of the shards."""
    found = [Statistics.read(path.read_text(encoding="utf-8")) for path in sorted((folder / COUNTS).glob("*.json"))]
    return reduce(add, found)


def write_card(
    folder: Path,
    statistics: Statistics,
    *,
    text_columns: Sequence[str],
    provenance: Mapping[str, Any],
    licence: str = "unknown",
) -> None:
    """Finish a dataset whose shards are there.

    Args:
        provenance: what it was made from: strings, numbers, lists and dicts; nothing that differs from run to run, such
            as times.
        licence: of the dataset, as the Hub spells it.
    """
    card = dataset_card(statistics, text_columns=text_columns, provenance=provenance, licence=licence)
    (folder / CARD_FILE).write_text(card, encoding="utf-8")
    shutil.rmtree(folder / COUNTS, ignore_errors=True)
    for kept in (folder / "data").glob(".*"):  # checksums of the shards
        kept.unlink()


def why_no_variant(
    found: Statistics, *, wanted: int, texts_with_candidates: int, languages: Sequence[str]
) -> str | None:
    """Why there is no variant, and what to change; None where there are some or none is wanted.

    Args: wanted: variants of each text. languages: those that the words were found by.
    """
    if found.variants or not wanted:
        return None
    none = f"no variant of {found.originals} examples:"
    if texts_with_candidates:
        return (
            f"{none} each one was left out ({dict(found.dropped)}); raise the probability of a replacement"
            " (augment_data.replace, -p) or the number of candidates (propose_candidates.candidates, -k)"
        )
    return (
        f"{none} no word has a candidate. The language was taken for {', '.join(languages)}; where that is wrong, set"
        " task.language (--language). Words of several pieces need word vectors (propose_candidates.vectors, --vectors)"
        " or propose_candidates.several_pieces: masked_lm (--several-pieces)"
    )


@contextmanager
def _without_cycle_collector() -> Iterator[None]:
    """Rows are millions of small dicts and never cycles, and looking for some takes a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
