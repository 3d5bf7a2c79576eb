"""Words of several pieces, and what may fill them.

A filling has as many pieces as the word, of the same kinds: a piece that begins a word is replaced by such a one, a
piece that continues one by one that does, an ideograph by an ideograph; hyphens and the like stay.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby, pairwise
from typing import NamedTuple, cast

from tokenizers.models import WordPiece
from transformers import PreTrainedTokenizerFast

from data_augment.pieces import located
from data_augment.vocabulary import CONTINUES, IDEOGRAPH, OTHER, Kinds
from data_augment.words import Span, is_word

MOST_PIECES = 6  # a longer word has no candidates: a filling of so many pieces is rarely a word


class Filling(NamedTuple):
    """Ids of the pieces filled so far, the sum of their log-probabilities, and the last of these."""

    score: float
    ids: tuple[int, ...]
    last: float


@dataclass(eq=False)  # a key of dicts: each is equal to itself alone
class Word:
    """A word to fill: where its pieces stand, those that are masked, and the fillings found so far."""

    text: int
    span: Span
    pieces: range
    masked: list[int]
    fillings: list[Filling] = field(default_factory=lambda: [Filling(0.0, (), 0.0)])
    """Best first."""

    def in_turn(self, turn: int) -> int:
        """The number of the filling that it holds at a turn; after the last one the first comes again."""
        return turn % len(self.fillings)


def find_pieces(
    texts: Sequence[str],
    spans: Sequence[Sequence[Span]],
    *,
    tokenizer: PreTrainedTokenizerFast,
    kinds: Kinds,
    longest: int,
) -> tuple[list[list[int]], list[Word]]:
    """The ids of each text, cut at `longest`, and its words of several pieces."""
    encoded, words = [], []
    for index, (one, span_at) in enumerate(located(texts, tokenizer=tokenizer, longest=longest)):
        ids = one.ids
        encoded.append(ids)
        starts = {span[0]: position for position, span in reversed(span_at.items())}
        ends = {span[1]: position for position, span in span_at.items()}
        for span in spans[index]:
            first, last = starts.get(span[0]), ends.get(span[1])
            if first is None or last is None or last < first:
                continue
            pieces = range(first, last + 1)
            masked = [position for position in pieces if kinds.kind[ids[position]] != OTHER]
            one_begins = len(pieces) == 1 and kinds.kind[ids[first]] != CONTINUES
            if one_begins or not 0 < len(masked) <= MOST_PIECES or tokenizer.unk_token_id in ids[first : last + 1]:
                continue
            words.append(Word(index, span, pieces, masked))
    return encoded, words


def together(words: Sequence[Word], encoded: Sequence[list[int]], *, mask_share: float) -> Iterator[list[Word]]:
    """The words in groups, each of one text, that are masked in the same pass.

    The pieces of a group are at most `mask_share` of the text's tokens, or those of its longest word. Words that follow
    each other in the text, with nothing between them, are never in the same group.
    """
    for text, found in groupby(words, key=lambda word: word.text):
        of_text = list(found)
        sizes = [len(word.masked) for word in of_text]
        room = max(mask_share * len(encoded[text]), *sizes)
        groups = -int(-sum(sizes) // room) if mask_share else len(of_text)
        if groups == 1 and any(after.pieces.start == before.pieces.stop for before, after in pairwise(of_text)):
            groups = 2
        while any(sum(sizes[first::groups]) > room for first in range(groups)):
            groups += 1
        for first in range(groups):
            yield of_text[first::groups]


class Reader:
    """How fillings read, and which of them may stand for a word."""

    def __init__(
        self,
        texts: Sequence[str],
        encoded: Sequence[list[int]],
        kinds: Kinds,
        tokenizer: PreTrainedTokenizerFast,
        one_word: Callable[[int, str], bool],
    ) -> None:
        self.texts, self.encoded, self.kinds, self.tokenizer = texts, encoded, kinds, tokenizer
        self.one_word = one_word
        self.cut = lru_cache(maxsize=1 << 18)(self._cut)

    def reads(self, word: Word, ids: Sequence[int]) -> str:
        """The filling as it is put into the text; pieces that were not masked read as they do in the vocabulary."""
        return "".join(self.kinds.text[number] for number in self.whole(word, ids))

    def whole(self, word: Word, ids: Sequence[int]) -> list[int]:
        """The ids of all pieces of the word, filled."""
        new = dict(zip(word.masked, ids, strict=False))
        return [new.get(position, self.encoded[word.text][position]) for position in word.pieces]

    def may_stand(self, word: Word, ids: Sequence[int]) -> bool:
        """Letters only, not the word itself, one word of its language, and cut by the tokenizer as it was filled."""
        old, new = self.texts[word.text][slice(*word.span)], self.reads(word, ids)
        if not is_word(new) or new.casefold() == old.casefold() or not self.one_word(word.text, new):
            return False
        whole = self.whole(word, ids)
        kinds = {int(self.kinds.kind[number]) for number in whole}
        return kinds == {IDEOGRAPH} or self.kinds.kind[whole[0]] == CONTINUES or self.cut(new) == whole

    def _cut(self, word: str) -> list[int]:
        # Behind a blank, as in a text: byte-level pieces that begin a word hold it.
        begin = "" if isinstance(self.tokenizer.backend_tokenizer.model, WordPiece) else " "
        return cast(list[int], self.tokenizer(begin + word, add_special_tokens=False, verbose=False)["input_ids"])
