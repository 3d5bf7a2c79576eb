"""Words of languages other than English, as spans of characters, and their stop words.

Blanks part words where a language has them, and a package of the field finds them where it has none: rjieba in Chinese
(jieba's algorithm and dictionary), ICU in Japanese, Thai, Lao, Khmer and Burmese. Each is an extra of the project.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from nltk.tokenize import NLTKWordTokenizer

from pipeline.data.languages import SEGMENTERS

Span = tuple[int, int]

TOKENIZER = NLTKWordTokenizer()
# Runs that a segmenter of Chinese cuts: all blocks of ideographs, with the signs 々 and 〇.
_IDEOGRAPHS = re.compile("[々〇\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]+")
_HIRAGANA = re.compile("[\u3041-\u309f]")  # a syllable alone is an ending or a particle
_ELISION = re.compile(r"(?i:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu|un|dell|all|dall|nell|sull|quell)['’](?=\w)")
_WITH_ELISION = ("fr", "it", "ca")
_INSIDE_WORDS = "-‐‑'’ʼ·״׳"  # signs that NLTK leaves in words, and that belong there


def raw_spans(text: str, language: str) -> Iterator[Span]:
    """Where the pieces of a text stand that may be words; some are punctuation, or have it at their ends."""
    if SEGMENTERS.get(language) == "icu4py":
        yield from _by_icu(text, language)
    elif language == "zh":
        yield from _chinese(text)
    else:
        yield from _between_blanks(text, language)


def may_be_replaced(word: str, language: str) -> bool:
    """Whether a word (NFC) of a language other than English says something: no number, no lone Japanese syllable."""
    if all(character.isnumeric() for character in word):  # 二十
        return False
    return not (language == "ja" and _HIRAGANA.fullmatch(word))


def in_dictionary(word: str) -> bool:
    """Whether a Chinese word is in rjieba's dictionary."""
    import rjieba  # noqa: PLC0415 (an extra)

    return rjieba.has_word(word)


def whole_characters(text: str, start: int, end: int) -> Span:
    """The span that ends after the accents and vowel signs of its last letter, and does not begin with any."""
    while start < end and unicodedata.category(text[start]).startswith("M"):
        start += 1
    while start < end < len(text) and unicodedata.category(text[end]).startswith("M"):
        end += 1
    return start, end


@lru_cache
def stop_words_of(language: str) -> frozenset[str]:
    """Words that stopwords-iso lists for the language, in lower case; none where it has no list."""
    from stopwordsiso import stopwords  # noqa: PLC0415 (an extra, which English does without)

    return frozenset(unicodedata.normalize("NFC", word.lower()) for word in stopwords(language))


def _by_icu(text: str, language: str) -> Iterator[Span]:
    from icu4py.breakers import WordBreaker  # noqa: PLC0415 (an extra)

    start = 0
    for word in WordBreaker(text, language):
        yield start, start + len(word)
        start += len(word)


def _chinese(text: str) -> Iterator[Span]:
    """Runs of ideographs by rjieba; between them there are blanks."""
    import rjieba  # noqa: PLC0415 (an extra)

    before = 0
    for run in _IDEOGRAPHS.finditer(text):
        yield from _shifted(_between_blanks(text[before : run.start()], "zh"), before)
        yield from _shifted(((start, end) for _, start, end in rjieba.tokenize(run.group())), run.start())
        before = run.end()
    yield from _shifted(_between_blanks(text[before:], "zh"), before)


def _between_blanks(text: str, language: str) -> Iterator[Span]:
    for start, end in TOKENIZER.span_tokenize(text):
        first = start
        if language in _WITH_ELISION and (elision := _ELISION.match(text, start, end)):
            first = elision.end()
        for at in range(first, end):
            if text[at] not in _INSIDE_WORDS and not text[at].isascii() and unicodedata.category(text[at])[0] == "P":
                yield first, at
                first = at + 1
        yield first, end


def _shifted(spans: Iterator[Span], by: int) -> Iterator[Span]:
    return ((start + by, end + by) for start, end in spans)
