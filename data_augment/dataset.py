"""The augmented dataset: a folder that `datasets.load_dataset(folder)` and `pandas.read_parquet(folder/"data")` read.

Its data/train-00000-of-0000N.parquet hold the rows of `samples.augment_rows`, label names included; README.md, written
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
from data_augment.samples import Row
from pipeline.artifacts.atomic import is_sealed, seal

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


def write_shards(
    shards: Iterable[tuple[int, Shard]],
    folder: Path,
    *,
    count: int,
    features: Features,
    text_columns: Sequence[str],
) -> Iterator[int]:
    """Write those of these shards that are not there yet. The same rows give the same bytes.

    Args:
        shards: with their numbers; one that is there is not called.
        folder: new, or with shards of the same dataset.
        count: how many shards the whole dataset has.
        features: of the task's rows ("id", texts, label), in the order that the columns shall have.

    Yields: each number when its shard is there.
    """
    schema = augmented_features(features).arrow_schema
    for part in ("data", COUNTS):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number, rows_of in shards:
        path, counts = shard_paths(folder, count)[number], folder / COUNTS / f"{number:05d}.json"
        if not (is_sealed(path) and is_sealed(counts)):
            statistics, temporary = Statistics(), path.with_suffix(".part")
            rows = statistics.count(rows_of(statistics.dropped), text_columns)
            with pq.ParquetWriter(temporary, schema) as writer, _without_cycle_collector():
                while batch := list(islice(rows, BATCH_ROWS)):
                    writer.write_table(pa.Table.from_pylist(batch, schema=schema))
            counted = counts.with_suffix(".part")
            counted.write_text(statistics.text(), encoding="utf-8")
            seal(temporary, path)
            seal(counted, counts)
        yield number


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
