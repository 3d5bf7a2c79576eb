"""The folder of candidates: `data/candidates-00000-of-0000N.parquet`, one row a word that may be replaced (see SCHEMA).

A shard is sealed: a checksum beside it says that it is whole. Reading needs no model and no torch.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.artifacts.shards import write_once
from pipeline.errors import UserError

SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("start", pa.int32()),  # characters of the original text
        ("end", pa.int32()),
        ("word", pa.string()),
        ("source", pa.string()),  # masked_lm or vectors
        ("candidates", pa.list_(pa.string())),  # best first
        ("scores", pa.list_(pa.float32())),  # log-probability (masked_lm) or cosine (vectors)
    ]
)
IN_MEMORY = SCHEMA.set(0, pa.field("text", pa.dictionary(pa.int32(), pa.string())))  # a text has many rows: held once
SHARDS_IN_MEMORY = 4
BYTES_AT_ONCE = 2**28  # of texts, once for each row, while a shard is written


class WordCandidates(NamedTuple):
    """What could stand at one span of a text."""

    start: int
    end: int
    candidates: tuple[str, ...]
    source: str


def shard_path(folder: str | Path, *, index: int, count: int) -> Path:
    """Where a shard lies in a candidates folder."""
    return Path(folder) / "data" / f"candidates-{index:05d}-of-{count:05d}.parquet"


def write_candidates(propose: Callable[[], pa.Table], path: Path) -> None:
    """Write the shard that `propose` makes (IN_MEMORY); where it is there already, `propose` is not called."""
    write_once(lambda temporary: _write_shard(propose(), temporary), path)


def _write_shard(table: pa.Table, path: Path) -> None:
    """Write it as SCHEMA, in several row groups where long texts would take much memory. A group holds a text once."""
    sizes = [len(text.encode()) for text in table["text"].unique().to_pylist()]
    rows = max(1, BYTES_AT_ONCE // max(sizes, default=1))
    dictionary_bytes = max(2**20, sum(sizes) + 4 * len(sizes))  # 2**20 is Parquet's own limit, beyond which it repeats
    with pq.ParquetWriter(path, SCHEMA, dictionary_pagesize_limit=dictionary_bytes) as writer:
        for first in range(0, max(1, len(table)), rows):
            writer.write_table(table.slice(first, rows).cast(SCHEMA))


class CandidatesFolder(Mapping[str, list[WordCandidates]]):
    """The candidates of each text that has any: text -> its words, by span.

    Only the texts are held in memory; their candidates are read shard by shard. One text after another is quick in the
    order of the shards, which is the order in which the texts first occur in the data; `of` is quick in any.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._shard_of: dict[str, int] = {}
        for shard, path in enumerate(paths):
            with _whole(path):
                texts = pq.read_table(path, columns=["text"], read_dictionary=["text"])["text"].unique().to_pylist()
            self._shard_of.update(dict.fromkeys(texts, shard))
        self._read = lru_cache(maxsize=SHARDS_IN_MEMORY)(lambda shard: _read_shard(paths[shard]))

    def of(self, texts: Iterable[str]) -> dict[str, list[WordCandidates]]:
        """The candidates of those texts that have any, in memory. Each shard that holds some of them is read once."""
        wanted: dict[int, set[str]] = {}
        for text in texts:
            if text in self._shard_of:
                wanted.setdefault(self._shard_of[text], set()).add(text)
        found: dict[str, list[WordCandidates]] = {}
        for shard in sorted(wanted):
            found |= _read_shard(self._paths[shard], wanted[shard])
        return found

    def __contains__(self, text: object) -> bool:
        return text in self._shard_of

    def __getitem__(self, text: str) -> list[WordCandidates]:
        return self._read(self._shard_of[text])[text]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shard_of)

    def __len__(self) -> int:
        return len(self._shard_of)


def read_candidates(folder: str | Path) -> CandidatesFolder:
    """Open a candidates folder. Raises UserError where shards are missing or are no candidates."""
    if not Path(folder).is_dir():
        raise UserError(f"there is no folder {folder}; give one that `propose` or propose_candidates wrote")
    paths = sorted((Path(folder) / "data").glob("candidates-*.parquet"))
    whole = [shard_path(folder, index=index, count=len(paths)) for index in range(len(paths))]
    if not paths or paths != whole:
        raise UserError(f"{folder}: not a whole candidates folder; data/ holds {[path.name for path in paths]}")
    for path in paths:
        with _whole(path):
            schema = pq.read_schema(path)
        if not schema.equals(SCHEMA):
            raise UserError(f"{path}: columns {schema.names} are given, and {SCHEMA.names} are needed")
    return CandidatesFolder(paths)


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Raises UserError for a shard that cannot be read."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is damaged or cut off ({str(error).splitlines()[0]}): propose them again") from None


def _read_shard(path: Path, wanted: Collection[str] | None = None) -> dict[str, list[WordCandidates]]:
    """The candidates of the wanted texts, or of all."""
    with _whole(path):
        table = pq.read_table(
            path, columns=["text", "start", "end", "candidates", "source"], read_dictionary=["text"]
        ).unify_dictionaries()
    texts = table.column("text").combine_chunks()
    if wanted is not None:
        is_wanted = pa.array([text in wanted for text in texts.dictionary.to_pylist()], pa.bool_())
        table = table.filter(is_wanted.take(texts.indices))
        texts = table.column("text").combine_chunks()
    lists = table.column("candidates").combine_chunks()
    # Far faster than lists.to_pylist(), and this is a good part of the time that samples take.
    encoded, bounds = lists.flatten().dictionary_encode(), lists.offsets.to_pylist()
    once = encoded.dictionary.to_pylist()  # each word once in memory
    words = [once[number] for number in encoded.indices.to_numpy().tolist()]
    found: dict[str, list[WordCandidates]] = {}
    known = texts.dictionary.to_pylist()
    starts, ends, sources = (table.column(name).to_pylist() for name in ("start", "end", "source"))
    for row, number in enumerate(texts.indices.to_pylist()):
        candidates = tuple(words[bounds[row] : bounds[row + 1]])
        found.setdefault(known[number], []).append(WordCandidates(starts[row], ends[row], candidates, sources[row]))
    return found
