"""What a word of a tagged text is: the one definition for training, evaluation, and answers of a saved student.

A text of a tagging task is its words joined by single blanks, as `pipeline.data.conll` makes it of a file's words. Text
that a user types has punctuation at its words ("the film, (again)."). `Parting` puts blanks in there first, as far as
the training rows have punctuation apart.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from pipeline.tasks.base import Span

# Blocks of characters that Chinese, Japanese and Korean texts write without blanks, as BERT's tokenizer parts them:
# without the newest blocks and without the signs 々 and 〇, which `data_augment.segmentation` takes too.
_IDEOGRAPHS = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2FA1F))


@dataclass(frozen=True, kw_only=True)
class Parting:
    """How running text becomes words."""

    standalone: str = ',.;:!?…()[]{}"“”„«»'
    """The punctuation that is a word of its own where it stands at an end of a word."""
    ideographs: bool = True
    """Whether each ideograph is a word of its own."""

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Parting":
        """What texts of parted words show: punctuation that stands alone more often than at an end of a word."""
        alone: Counter[str] = Counter()
        attached: Counter[str] = Counter()
        single = several = 0
        for word, count in Counter(word for text in texts for word in text.split(" ")).items():
            for character in filter(_is_punctuation, {*word[:1], *word[-1:]}):
                if all(map(_is_punctuation, word)):
                    alone[character] += count
                elif not _is_abbreviation(word) or character != ".":
                    attached[character] += count
            ideographs = sum(map(_is_ideograph, word))
            single += count * (ideographs == 1 == len(word))
            several += count * (ideographs > 1)
        standalone = sorted(character for character in alone if alone[character] > attached[character])
        return cls(standalone="".join(standalone), ideographs=single > several)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Parting":
        """What an exported student's config.json says; the usual where it does not."""
        match config.get("words"):
            case {"standalone": str(standalone), "ideographs": bool(ideographs)}:
                return cls(standalone=standalone, ideographs=ideographs)
        return cls()

    def as_config(self) -> dict[str, Any]:
        """The same as config.json holds it."""
        return {"words": asdict(self)}

    def part(self, text: str) -> str:
        """The words of a text, joined by single blanks.

        A text that has punctuation between blanks already is parted: its words are what stands between blanks.
        """
        chunks = text.split()
        if not any(chunk and set(chunk) <= set(self.standalone) for chunk in chunks):
            chunks = [word for chunk in chunks for word in self._without_ends(chunk)]
        if self.ideographs:
            chunks = "".join(f" {one} " if _is_ideograph(one) else one for one in " ".join(chunks)).split()
        return " ".join(chunks)

    def _without_ends(self, chunk: str) -> list[str]:
        """A chunk between blanks as words; "u.s." and "e.g." keep their last dot."""
        begin, end = 0, len(chunk)
        while begin < end and chunk[begin] in self.standalone:
            begin += 1
        while end > begin and chunk[end - 1] in self.standalone:
            if _is_abbreviation(chunk[begin:end]):
                break
            end -= 1
        return [*chunk[:begin], *filter(None, [chunk[begin:end]]), *chunk[end:]]


def word_spans(text: str) -> list[Span]:
    """Where the words of a text stand: what single spaces separate."""
    ends = [-1, *(index for index, character in enumerate(text) if character == " "), len(text)]
    return [(before + 1, end) for before, end in pairwise(ends)]


def words_started(text: str, offsets: Sequence[Span]) -> list[int]:
    """For each token the number of the word whose first token it is, else -1. Words are those of `word_spans`."""
    starts = np.array([start for start, _ in word_spans(text)])
    words, last = [], -1
    for start, end in offsets:
        inside = end - len(text[start:end].lstrip(" "))  # some tokenizers take the space along
        word = int(np.searchsorted(starts, inside, side="right")) - 1 if inside < end else -1
        words.append(word if word > last else -1)
        last = max(last, word)
    return words


def _is_abbreviation(word: str) -> bool:
    """Such as "u.s." and "e.g."."""
    return word.endswith(".") and "." in word[:-1] and not word.endswith("..")


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"


def _is_ideograph(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in _IDEOGRAPHS)
