"""Which words of a text may be replaced, as spans (start, end) of characters in the original text."""

import re
import unicodedata
from collections.abc import Collection, Set

from nltk.tokenize import NLTKWordTokenizer

Span = tuple[int, int]

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

_TOKENIZER = NLTKWordTokenizer()


def stop_list(words: Collection[str] | None) -> Set[str]:
    """The given words in lower case; ours where none are given."""
    return STOP_WORDS if words is None else frozenset(word.lower() for word in words)


def find_words(text: str) -> list[Span]:
    """Spans of the words, in order, without punctuation at either end ("York." is "York")."""
    spans = (_without_punctuation(text, *span) for span in _TOKENIZER.span_tokenize(text))
    return [(start, end) for start, end in spans if start < end]


def replaceable_words(
    text: str, *, stop_words: Set[str] = STOP_WORDS, protect: re.Pattern[str] | None = None
) -> list[Span]:
    """Spans of the words that may be replaced.

    Not: stop words and contraction pieces (compared in lower case), anything with a digit, and words of which `protect`
    finds a part in the text.
    """
    protected = [match.span() for match in protect.finditer(text)] if protect else []

    def may_go(start: int, end: int) -> bool:
        word = text[start:end]
        return not (
            word.lower() in stop_words
            or word.lower() in CONTRACTION_PIECES
            or any(character.isdigit() for character in word)
            or any(first < end and start < last for first, last in protected)
        )

    return [span for span in find_words(text) if may_go(*span)]


def is_word(token: str) -> bool:
    """Whether a token may be put into a text: letters only, with single hyphens, apostrophes or dots inside."""
    if token.isalpha():
        return True
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
    if text[start:end].lower() not in CONTRACTION_PIECES:
        while start < end and not _may_end_a_word(text[start]):
            start += 1
        while start < end and not _may_end_a_word(text[end - 1]):
            end -= 1
    return start, end


def _may_end_a_word(character: str) -> bool:
    return character.isalnum() or _is_letter(character)


def _is_letter(character: str) -> bool:
    return character.isalpha() or unicodedata.category(character).startswith("M")  # M: accents, vowel signs
