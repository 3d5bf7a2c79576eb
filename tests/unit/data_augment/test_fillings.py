"""Which words of several pieces are masked in the same pass."""

import pytest

from data_augment.fillings import Word, together


def word(first: int, last: int) -> Word:
    """One of text 0. Args: first, last: positions of its pieces."""
    pieces = range(first, last + 1)
    return Word(text=0, span=(first, last), pieces=pieces, masked=list(pieces))


def groups(words: list[Word], *, tokens: int, mask_share: float) -> list[list[int]]:
    """The first piece of each word, group by group."""
    return [[one.pieces.start for one in group] for group in together(words, [[0] * tokens], mask_share=mask_share)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([word(1, 2), word(4, 5), word(7, 8)], [[1, 4, 7]]),  # a piece between all
        ([word(1, 2), word(3, 4)], [[1], [3]]),
        ([word(1, 2), word(4, 5), word(6, 7)], [[1, 6], [4]]),
        ([word(1, 2)], [[1]]),
    ],
)
def test_words_that_follow_each_other_are_never_masked_together(words: list[Word], expected: list[list[int]]) -> None:
    assert groups(words, tokens=40, mask_share=0.25) == expected


def test_no_more_is_masked_together_than_the_share_allows() -> None:
    words = [word(1, 2), word(3, 4), word(6, 7), word(8, 9)]
    assert groups(words, tokens=16, mask_share=0.25) == [[1, 6], [3, 8]]
    assert groups(words, tokens=16, mask_share=0) == [[1], [3], [6], [8]]


def test_long_words_do_not_meet_where_together_they_are_more_than_the_share() -> None:
    words = [word(1, 6), word(8, 9), word(11, 16), word(18, 19)]
    assert groups(words, tokens=40, mask_share=0.2) == [[1, 18], [8], [11]]
    assert groups(words, tokens=40, mask_share=0.1) == [[1], [8], [11], [18]]  # one word may be longer than the share
