"""The augmented dataset: a folder that `datasets.load_dataset(folder)` and `pandas.read_parquet(folder/"data")` read.

Its data/train-00000-of-0000N.parquet hold the rows of `samples.augment_rows`, label names included; README.md, written
last, is its card.
"""

import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, List, Value

from data_augment.card import Statistics, dataset_card
from data_augment.samples import Row

CARD_FILE = "README.md"
SHARD_ROWS = 500_000
BATCH_ROWS = 10_000  # held in memory at once; a row group of the file

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


def write_dataset(
    rows: Iterable[Row],
    folder: str | Path,
    *,
    features: Features,
    text_columns: Sequence[str],
    provenance: Mapping[str, Any],
    dropped: Counter[str],
    licence: str = "unknown",
    shard_rows: int = SHARD_ROWS,
) -> Statistics:
    """Write the rows as they come, in their order, and the card. The same rows give the same bytes.

    Args:
        rows: the rows of `augment_rows`, at least one; each original stands before its variants.
        folder: new, or what a killed write left; rows in it are removed.
        features: of the task's rows ("id", texts, label), in the order that the columns shall have.
        provenance: what the dataset was made from, for the card: strings, numbers, lists and dicts; nothing that
            differs from run to run, such as times.
        dropped: the counter that `augment_rows` fills; read after the last row.
        licence: of the dataset, as the Hub spells it.

    Returns: what was counted on the way.
    """
    data = Path(folder) / "data"
    data.mkdir(parents=True, exist_ok=True)
    for stale in [*data.glob("train-*.parquet"), *data.glob("train-*.part")]:
        stale.unlink()
    schema = augmented_features(features).arrow_schema
    statistics = Statistics(text_columns=tuple(text_columns))
    parts: list[Path] = []
    for index, numbered in groupby(enumerate(statistics.count(rows)), key=lambda pair: pair[0] // shard_rows):
        parts.append(data / f"train-{index:05d}.part")
        with pq.ParquetWriter(parts[-1], schema) as writer, _without_cycle_collector():
            while batch := [row for _, row in islice(numbered, BATCH_ROWS)]:
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
    for index, part in enumerate(parts):  # how many there are is known only now
        part.replace(data / f"train-{index:05d}-of-{len(parts):05d}.parquet")
    card = dataset_card(statistics, provenance=provenance, dropped=dropped, licence=licence)
    (Path(folder) / CARD_FILE).write_text(card, encoding="utf-8")
    return statistics


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
