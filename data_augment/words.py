"""Which words of a text may be replaced, as spans (start, end) of characters in the original text."""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Collection, Sequence, Set
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate

from data_augment.diversity import WITHOUT_BLANKS
from data_augment.segmentation import (
    TOKENIZER,
    Span,
    in_dictionary,
    may_be_replaced,
    raw_spans,
    stop_words_of,
    whole_characters,
)
from pipeline.data.languages import ENGLISH, SEGMENTERS

_FUNCTION_WORDS = """
a an the this that these those
i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she her hers
herself it its itself they them their theirs themselves one
who whom whose which what when where why how
am is are was were be been being have has had having do does did doing done
can could may might must shall should will would ought
not no nor never and or but if because as until while than then so though although whether
of at by for with about against between into through during before after above below to from up down in out on
off over under upon within without toward towards
again further once here there all any both each few more most other some such only own same too very just also
"""
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())
"""Function words of English: replacing them breaks a sentence without saying anything new."""

_CONTRACTIONS = """
n't 's 'm 're 've 'll 'd 't 'n 'ye t s m re ve ll d ca wo sha ai ain aren couldn didn doesn don hadn hasn haven isn
mightn mustn needn shan shouldn wasn weren won wouldn gon na got ta wan gim lem
"""
CONTRACTION_PIECES = frozenset(_CONTRACTIONS.split())
"""What the tokenizer cuts contractions into ("ca n't", "gon na"; "don ’ t" where the apostrophe is curly)."""


def stop_list(words: Collection[str] | None, language: str = ENGLISH) -> Set[str]:
    """The given words in lower case; where none are given ours for English, and stopwords-iso's for other languages."""
    if words is not None:
        return frozenset(word.lower() for word in words)
    return STOP_WORDS if language == ENGLISH else stop_words_of(language)


def find_words(text: str, language: str = ENGLISH) -> list[Span]:
    """Spans of the words, in order, without punctuation at either end ("York." is "York")."""
    if language == ENGLISH:
        spans = (_without_punctuation(text, *span) for span in TOKENIZER.span_tokenize(text))
    else:
        trimmed = (_letters(text, *span) for span in raw_spans(text, language))
        spans = (whole_characters(text, *span) for span in trimmed)
    return [(start, end) for start, end in spans if start < end]


def replaceable_words(
    text: str,
    *,
    stop_words: Set[str] = STOP_WORDS,
    protect: re.Pattern[str] | None = None,
    never: Sequence[re.Pattern[str]] = (),
    language: str = ENGLISH,
) -> list[Span]:
    """Spans of the words that may be replaced.

    Not: stop words and, in English, contraction pieces (compared in lower case), anything with a digit of any script,
    numbers in words of their own (二十), and words of which `protect` or one of `never` finds a part.
    """
    patterns = [*never, *([protect] if protect else [])]
    protected = sorted(match.span() for pattern in patterns for match in pattern.finditer(text))
    firsts = [first for first, _ in protected]
    furthest = list(accumulate((last for _, last in protected), max))  # the end of the longest reach so far

    def is_protected(start: int, end: int) -> bool:
        before = bisect_left(firsts, end)  # so many begin before the word ends
        return before > 0 and furthest[before - 1] > start

    def may_go(start: int, end: int) -> bool:
        word = text[start:end]
        if language != ENGLISH:
            word = unicodedata.normalize("NFC", word)
        return not (
            word.lower() in stop_words
            or (word.lower() in CONTRACTION_PIECES if language == ENGLISH else not may_be_replaced(word, language))
            or any(character.isdigit() for character in word)
            or is_protected(start, end)
        )

    return [span for span in find_words(text, language) if may_go(*span)]


def drawn_words(text: str, spans: Sequence[Span], share: float) -> list[Span]:
    """Each of the words with a probability, `share`; a pure function of the text and the place in it."""
    if share >= 1:  # for each word below the whole text is read
        return list(spans)
    key, below = text.encode("utf-8", "surrogatepass"), share * 2**32
    return [
        span
        for span in spans
        if int.from_bytes(blake2b(key, salt=span[0].to_bytes(8, "little"), digest_size=4).digest()) < below
    ]


@lru_cache(maxsize=1 << 18)
def is_one_word(word: str, language: str) -> bool:
    """Whether it is one word of a language without blanks: in rjieba's dictionary, or not cut by ICU. Else True."""
    if language not in SEGMENTERS or not WITHOUT_BLANKS.search(word):
        return True
    return in_dictionary(word) if language == "zh" else find_words(word, language) == [(0, len(word))]


def is_word(token: str) -> bool:
    """Whether a token may be put into a text: letters only, with single hyphens, apostrophes or dots inside.

    It does not begin with an accent or a vowel sign, which would join the letter before it.
    """
    if token.isalpha():
        return True
    if token and unicodedata.category(token[0]).startswith("M"):
        return False
    return all(part and all(map(_is_letter, part)) for part in re.split("['’.-]", token))


def match_case(replacement: str, original: str) -> str:
    """The replacement in lower, Title or UPPER case, as the word it replaces.

    A replacement that is not all lower case comes from a cased model or table, which knows better: it stays.
    """
    if original.islower() or not replacement.islower():
        return replacement
    if len(original) > 1 and original.isupper():
        return replacement.upper()
    if original[0].isupper():
        return replacement[0].upper() + replacement[1:]
    return replacement


def _without_punctuation(text: str, start: int, end: int) -> Span:
    """The span without punctuation at its ends; pieces like "n't" and "'s" keep their apostrophe."""
    return (start, end) if text[start:end].lower() in CONTRACTION_PIECES else _letters(text, start, end)


def _letters(text: str, start: int, end: int) -> Span:
    """The span without what is no part of a word at its ends."""
    while start < end and not _may_end_a_word(text[start]):
        start += 1
    while start < end and not _may_end_a_word(text[end - 1]):
        end -= 1
    return start, end


def _may_end_a_word(character: str) -> bool:
    return character.isalnum() or _is_letter(character)


def _is_letter(character: str) -> bool:
    return character.isalpha() or unicodedata.category(character).startswith("M")  # M: accents, vowel signs
