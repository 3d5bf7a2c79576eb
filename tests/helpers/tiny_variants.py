"""Two texts with candidates for their words, rows and pairs of them, and the variants of these."""

from collections import Counter

from data_augment.candidates_folder import WordCandidates
from data_augment.variants import augment_rows, count_occurrences

TEXT = "  A grand film, they SAY --  with Actors!"
CANDIDATES = [
    WordCandidates(4, 9, ("great", "fine", "big"), "masked_lm"),
    WordCandidates(10, 14, ("movie", "drama", "story"), "masked_lm"),
    WordCandidates(21, 24, ("tell",), "vectors"),
    WordCandidates(34, 40, ("players",), "vectors"),
]
MANY = " ".join(["film"] * 50)
MANY_CANDIDATES = [WordCandidates(5 * i, 5 * i + 4, tuple("abcdefghij"), "masked_lm") for i in range(50)]
ROWS = [
    {"id": 7, "text": TEXT, "label": 1},
    {"id": 8, "text": "nothing to say", "label": 0},
    {"id": 9, "text": TEXT, "label": 0},
]
PAIRS = [{"id": "p", "left": TEXT, "right": MANY, "score": 2.5}]
PROPOSED = {TEXT: CANDIDATES, MANY: MANY_CANDIDATES}


def augment(rows=ROWS, columns=("text",), **changes):
    settings = {
        "candidates": PROPOSED,
        "variants": 20,
        "p": 0.4,
        "seed": 1,
        "originals": set(),
        "dropped": Counter(),
    }
    return list(augment_rows(rows, occurrences_of(rows, columns), text_columns=columns, **settings | changes))


def occurrences_of(rows, columns=("text",)):
    return count_occurrences((tuple(row[column] for column in columns) for row in rows), columns=len(columns)).tolist()
