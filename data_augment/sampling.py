"""Variants of any rows, written as a dataset with its card; killed and called again it goes on."""

import hashlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from datasets import Features, Value
from tqdm import tqdm

from data_augment.candidates_folder import read_candidates
from data_augment.card import Statistics
from data_augment.dataset import SHARD_EXAMPLES, read_counts, why_no_variant, write_card, write_shard
from data_augment.provenance import (
    PROVENANCE_FILE,
    candidates_provenance,
    keep_or_clear,
    languages_of,
    versions,
)
from data_augment.variants import KnownTexts, Row, augment_rows, count_occurrences, digest
from pipeline.config.data import AugmentData
from pipeline.errors import UserError

OWN_COLUMNS = ("id", "source_id", "variant", "replaced")  # of the dataset, and the rows' number while it is made


def sample(
    rows: Iterable[Row],
    output: str | Path,
    *,
    candidates: str | Path,
    text_columns: Sequence[str],
    variants: int = AugmentData.variants,
    p: float = AugmentData.replace,
    seed: int = 0,
    features: Features | None = None,
    licence: str = "unknown",
) -> Statistics:
    """Write the augmented dataset: each row and its variants (`augment_rows`), with a card.

    Killed and called again it goes on from the last shard.

    Args:
        rows: examples with their texts and whatever else shall stand beside the variants. They are read twice, and held
            in memory only where they come from an iterator.
        output: a new folder; it appears when it is whole.
        candidates: the folder that `propose` wrote.
        text_columns: the text, or the pair of texts.
        variants: of each text; of a pair, of each side.
        p: probability that a word is replaced.
        features: of the columns, by name; None: every column is text.

    Returns: what was counted.
    Raises: UserError where the output exists, there is no row, a column has a name of OWN_COLUMNS, or the candidates
        cannot be read.
    """
    output, rows = Path(output), list(rows) if isinstance(rows, Iterator) else rows
    _check_sampling(output, p=p, variants=variants)
    if (first := next(iter(rows), None)) is None:
        raise UserError("there is no row to augment")
    if taken := [name for name in OWN_COLUMNS if name in first]:
        raise UserError(f"the dataset has a column '{taken[0]}' of its own; leave yours out, or rename it")
    columns, proposed = tuple(text_columns), read_candidates(candidates)
    features = features or Features(dict.fromkeys(first, Value("string")))
    known: Counter[bool] = Counter()  # whether a text has candidates
    originals, digests = KnownTexts(), (hashlib.blake2b(digest_size=16), hashlib.blake2b(digest_size=16))

    def texts() -> Iterator[tuple[str, ...]]:
        for row in rows:
            found = tuple(row[column] for column in columns)
            originals.add(found)
            known.update(text in proposed for text in found)
            digests[0].update(digest(*found))
            digests[1].update(repr(row).encode("utf-8", "surrogatepass"))
            yield found

    occurrences = count_occurrences(texts(), columns=len(columns))
    provenance = {
        "candidates": candidates_provenance(Path(candidates)),
        "texts": len(occurrences),
        "texts_digest": digests[0].hexdigest(),
        "variants": variants,
        "replace": p,
        "seed": seed,
        "packages": versions(),
    }
    building = output.with_name(f".{output.name}.part")
    keep_or_clear(building, {**provenance, "rows": digests[1].hexdigest(), "features": repr(features)})

    def augmented(part: Sequence[Row], first: int, dropped: Counter[str]) -> Iterable[Row]:
        return augment_rows(
            part,
            occurrences[first : first + len(part)].tolist(),
            text_columns=columns,
            candidates=proposed.of(row[column] for row in part for column in columns),
            variants=variants,
            p=p,
            seed=seed,
            originals=originals,
            dropped=dropped,
        )

    starts = range(0, len(occurrences), SHARD_EXAMPLES)
    numbered = _numbered(rows, len(occurrences))
    for number, first in enumerate(starts):
        part = list(islice(numbered, SHARD_EXAMPLES))
        write_shard(
            partial(augmented, part, first),
            building,
            number=number,
            count=len(starts),
            features=Features({"id": Value("int64"), **features}),
            text_columns=columns,
        )
    statistics = read_counts(building)
    write_card(building, statistics, text_columns=columns, provenance=provenance, licence=licence)
    why = why_no_variant(
        statistics, wanted=variants, texts_with_candidates=len(proposed), languages=languages_of(Path(candidates))
    )
    if why and len(proposed) and not known[True]:
        why = (
            f"no variant of {statistics.originals} examples: 0 of {known.total()} texts are in {candidates}, which was"
            " made from other texts; propose candidates for these"
        )
    elif known[True] and known[False] and variants:
        why = (
            f"{known[False]:,} of {known.total():,} texts have no candidates in {candidates}, so no variant: they have"
            " no word that may be replaced, or the candidates were made from other texts"
        )
    if why:
        print(f"warning: {why}", file=sys.stderr)
    (building / PROVENANCE_FILE).unlink()
    building.rename(output)
    return statistics


def _check_sampling(output: Path, *, p: float, variants: int) -> None:
    if not 0 <= p <= 1:
        raise UserError(f"p is {p}; a probability lies between 0 and 1")
    if variants < 0:
        raise UserError(f"{variants} variants; give 0 or more")
    if output.exists():
        raise UserError(f"{output} exists; give a new folder")
    if file := next((parent for parent in output.parents if parent.is_file()), None):
        raise UserError(f"{output}: {file} is a file, in which no folder can be; give another folder")


def _numbered(rows: Iterable[Row], count: int) -> Iterator[Row]:
    with tqdm(total=count, unit="row", desc="sample", mininterval=1.0) as bar:
        for number, row in enumerate(rows):
            yield {"id": number, **row}
            bar.update()
