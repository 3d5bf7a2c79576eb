"""Variants of a text: each word with candidates is replaced with probability p by one of them, drawn uniformly.

A variant is a pure function of (seed, text, occurrence, column, variant): the first 20 of 40 variants are the 20 of 20,
and the order and number of processes change nothing.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from struct import unpack
from typing import Any

import numpy as np

from data_augment.candidates_folder import WordCandidates
from data_augment.words import Span, match_case

Row = dict[str, Any]
Texts = tuple[str, ...]  # the text of an example, or its pair of texts

WORDS_A_DIGEST = 8  # 64 bytes: two uniform numbers of 32 bits for each of 8 words


def sample_variant(
    text: str,
    candidates: Sequence[WordCandidates],
    *,
    seed: int,
    occurrence: int,
    column: str,
    variant: int,
    p: float,
) -> tuple[str, list[Row]]:
    """One variant of a text, and the replacements in it.

    Args:
        candidates: spans in ascending order that do not overlap.
        occurrence: how often the text stood in this column before (0, 1, ...): the rows of a text that occurs again get
            variants of their own.
        variant: number of the variant, from 1.
        p: probability that a word is replaced.

    Returns: the new text, equal to the old outside the replaced spans; and for each replaced word, in order, {column,
        start, end, old, new, source}, where start and end are characters of the original text.
    """
    key = f"{seed}\0{column}\0{occurrence}\0{variant}\0{text}".encode("utf-8", "surrogatepass")
    below = p * 2**32
    parts: list[str] = []
    replaced: list[Row] = []
    at = 0
    for first in range(0, len(candidates), WORDS_A_DIGEST):
        numbers = unpack("<16I", blake2b(key, salt=first.to_bytes(8, "little")).digest())
        for index, (start, end, words, source) in enumerate(candidates[first : first + WORDS_A_DIGEST]):
            if numbers[2 * index] < below:
                old = text[start:end]
                new = match_case(words[numbers[2 * index + 1] * len(words) >> 32], old)
                parts += (text[at:start], new)
                at = end
                replaced.append(
                    {"column": column, "start": start, "end": end, "old": old, "new": new, "source": source}
                )
    return "".join(parts) + text[at:], replaced


def digest(*texts: str) -> bytes:
    """16 bytes that stand for texts where millions of them must be remembered."""
    return blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def count_occurrences(rows: Iterable[Texts], *, columns: int) -> np.ndarray:
    """How often each text of each row stood in its column before, (rows, columns) uint32."""
    seen: Counter[bytes] = Counter()

    def counted() -> Iterator[list[int]]:
        for texts in rows:
            keys = [digest(str(column), text) for column, text in enumerate(texts)]
            yield [seen[key] for key in keys]
            seen.update(keys)

    return np.fromiter(counted(), dtype=np.dtype((np.uint32, (columns,))))


class KnownTexts:
    """A set of texts, or pairs of them, that holds only their digests."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()

    def add(self, texts: Texts) -> None:
        self._digests.add(digest(*texts))

    def __contains__(self, texts: object) -> bool:
        return isinstance(texts, tuple) and digest(*texts) in self._digests


def augment_rows(
    rows: Iterable[Row],
    occurrences: Iterable[Sequence[int]],
    *,
    text_columns: Texts,
    candidates: Mapping[str, Sequence[WordCandidates]],
    variants: int,
    p: float,
    seed: int,
    originals: Container[Texts],
    dropped: Counter[str],
    protected: Callable[[Row, str], Sequence[Span]] | None = None,
) -> Iterator[Row]:
    """Each row and its variants: the original (variant 0), then 1..N of the first text with the second original, then,
    for pairs, N+1..2N of the second text with the first original.

    Args:
        rows: examples; each has an "id", its texts, and whatever else (the label) its variants share with it.
        occurrences: of each row's texts (`count_occurrences`, over all rows where these are a part of them).
        candidates: a mapping from text, as `read_candidates` or its `of` returns.
        originals: texts of train, dev and test, as tuples in the order of `text_columns`, that are never produced; a
            set, or `KnownTexts` where there are many.
        dropped: counts "equal_to_original" and "repeated", the variants left out as equal to one of `originals` (or to
            their own original), or to an earlier variant of the same example. Their numbers are missing from the rows.
        protected: spans of characters of a row's column in which nothing is replaced.

    Yields: the row without "id", with `source_id` (that id), `variant` and `replaced` (see `sample_variant`).
    """
    for row, occurrence in zip(rows, occurrences, strict=True):
        texts = tuple(row[column] for column in text_columns)
        shared = {"source_id": row["id"], **{name: value for name, value in row.items() if name != "id"}}
        yield {**shared, "variant": 0, "replaced": []}
        produced: set[Texts] = set()
        for index, (column, text) in enumerate(zip(text_columns, texts, strict=True)):
            words = candidates.get(text, ())
            if protected is not None and words:
                kept = protected(row, column)
                words = [w for w in words if not any(w.start < end and start < w.end for start, end in kept)]
            if not words:
                dropped["equal_to_original"] += variants
                continue
            for number in range(1, variants + 1):
                new, replaced = sample_variant(
                    text, words, seed=seed, occurrence=occurrence[index], column=column, variant=number, p=p
                )
                varied = (*texts[:index], new, *texts[index + 1 :])
                if varied == texts or varied in originals:
                    dropped["equal_to_original"] += 1
                elif varied in produced:
                    dropped["repeated"] += 1
                else:
                    produced.add(varied)
                    yield {**shared, column: new, "variant": index * variants + number, "replaced": replaced}
