"""Word vectors, and the words nearest to a word by cosine."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_augment.words import is_word
from pipeline.data.word_vectors import read_vectors
from pipeline.errors import UserError

BLOCK_CELLS = 1 << 24  # similarities held at once: 64 MB


@dataclass(frozen=True)
class WordVectors:
    """`words` and their unit vectors (W, D) float32, in the order of the file: the most frequent first."""

    words: list[str]
    table_WD: np.ndarray
    rows: dict[str, int] = field(init=False, repr=False)
    rows_of_lower: dict[str, list[int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows_of_lower: dict[str, list[int]] = {}
        for row, word in enumerate(self.words):
            rows_of_lower.setdefault(word.lower(), []).append(row)
        object.__setattr__(self, "rows", {word: row for row, word in reversed(list(enumerate(self.words)))})
        object.__setattr__(self, "rows_of_lower", rows_of_lower)

    def row(self, word: str) -> int | None:
        """Row of the word as it is written, else in lower case; None where it has no vector."""
        return self.rows.get(word, self.rows.get(word.lower()))

    def neighbours(self, words: Sequence[str], k: int) -> list[list[tuple[str, float]]]:
        """The k nearest words and their cosines, best first, for each word; [] for a word without a vector.

        The word itself is left out in any case. Equal cosines go by their position in the table.
        """
        rows = {word: row for word in dict.fromkeys(words) if (row := self.row(word)) is not None}
        found: dict[str, list[tuple[str, float]]] = {}
        known = list(rows)
        block = max(1, BLOCK_CELLS // max(1, len(self.words)))
        for first in range(0, len(known), block):
            queries = known[first : first + block]
            cosines_QW = self.table_WD[[rows[word] for word in queries]] @ self.table_WD.T
            for word, cosines in zip(queries, cosines_QW, strict=True):
                cosines[self.rows_of_lower[word.lower()]] = -np.inf
                found[word] = [(self.words[row], float(cosines[row])) for row in _best(cosines, k)]
        return [found.get(word, []) for word in words]


def load_vectors(path: str | Path, *, vector_words: int) -> WordVectors:
    """The vectors of the first `vector_words` words; rows of zeros and tokens that are no words are left out.

    Of a word that stands there again the first row counts.

    Raises UserError with file and line where the file is not one of word vectors.
    """
    path = Path(path)
    words, table = read_vectors(path, vector_words=vector_words)
    if not np.isfinite(table).all():
        row = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])
        raise UserError(f"{path}: the vector of word {row + 1} ('{words[row]}') has a value that is not finite")
    norms = np.linalg.norm(table, axis=1)
    kept = np.array([is_word(word) for word in words], dtype=bool) & (norms > 0)
    if not kept.any():
        raise UserError(f"{path}: none of the first {len(words)} entries is a word with a vector other than zero")
    rows: dict[str, int] = {}
    for row in np.flatnonzero(kept).tolist():
        rows.setdefault(words[row], row)
    first = list(rows.values())
    return WordVectors(list(rows), table[first] / norms[first, None])


def _best(cosines: np.ndarray, k: int) -> np.ndarray:
    """Rows of the k largest values, ties by row; -inf is never taken."""
    k = min(k, len(cosines))
    least = np.partition(cosines, -k)[-k]
    rows = np.flatnonzero((cosines >= least) & (cosines > -np.inf))
    return rows[np.lexsort((rows, -cosines[rows]))][:k]
