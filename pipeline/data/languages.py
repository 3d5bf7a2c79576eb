"""The language of texts, guessed from their scripts, and the packages that finding its words takes.

A guess knows scripts, not languages: Latin letters count as English, Cyrillic ones as Russian.
Languages are ISO 639 codes.
"""

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec

from pipeline.errors import UserError, require

AUTO = "auto"
ENGLISH = "en"
SEGMENTERS = {"zh": "rjieba", "ja": "icu4py", "th": "icu4py", "lo": "icu4py", "km": "icu4py", "my": "icu4py"}
"""Languages without blanks between words, and the package that finds their words."""
STOP_WORD_PACKAGE = "stopwordsiso"
EXTRAS = {"rjieba": "chinese", "icu4py": "languages", STOP_WORD_PACKAGE: "languages"}
"""The extra of the project that installs a package."""
# By the first word of a letter's Unicode name. Of a script that serves several languages, the one with most readers.
LANGUAGES = {
    "LATIN": ENGLISH, "CJK": "zh", "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "THAI": "th", "LAO": "lo",
    "KHMER": "km", "MYANMAR": "my", "CYRILLIC": "ru", "ARABIC": "ar", "HEBREW": "he", "GREEK": "el",
    "DEVANAGARI": "hi", "BENGALI": "bn", "GURMUKHI": "pa", "GUJARATI": "gu", "TAMIL": "ta", "TELUGU": "te",
    "KANNADA": "kn", "MALAYALAM": "ml", "SINHALA": "si", "ARMENIAN": "hy", "GEORGIAN": "ka", "ETHIOPIC": "am",
    "TIBETAN": "bo",
}  # fmt: skip
OF_SEVERAL_LETTERS = {"zh": 3, "ja": 3, "ko": 3}  # a character of these says what some three letters say
KANA_OF_JAPANESE = 0.1  # a Chinese text may hold a kana or two
SAMPLE = 1000  # texts that are looked at
LEAST_SHARE = 0.01  # of the texts; a language with fewer is none of the data's


@dataclass(frozen=True)
class Languages:
    """The languages of a collection of texts, the most frequent first."""

    found: tuple[str, ...]
    guessed: bool

    def of(self, text: str) -> str:
        """The language of one text: its own where it is one of these, else the most frequent one."""
        if len(self.found) == 1:
            return self.found[0]
        own = guess(text)
        return own if own in self.found else self.found[0]

    def __str__(self) -> str:
        how = "guessed from the script of the texts; where that is wrong, set it" if self.guessed else "as given"
        return f"{', '.join(self.found)} ({how})"


def languages_of(texts: Sequence[str], language: str = AUTO) -> Languages:
    """The language that is given, or the languages guessed from a sample of the texts.

    Raises: UserError where a language with blanks is given and most texts are in a script without.
    """
    sample = texts[:: max(1, len(texts) // SAMPLE)]
    counts = Counter(filter(None, map(guess, sample)))
    whole = sum(counts.values())
    if language == AUTO:
        ranked = sorted(counts, key=lambda name: (-counts[name], name))
        return Languages(tuple(name for name in ranked if counts[name] >= LEAST_SHARE * whole) or (ENGLISH,), True)
    without_blanks = next((name for name in counts if name in SEGMENTERS and counts[name] > whole / 2), None)
    require(
        language in SEGMENTERS or not without_blanks,
        f"the language (task.language, --language) is {language}, but {counts[without_blanks or '']} of {whole} texts"
        f" are written without blanks between words; set it to {without_blanks}, or to auto",
    )
    return Languages((language,), False)


def guess(text: str) -> str | None:
    """The language of most letters of a text; None without a letter of a known script."""
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if found := _language_of(character):
            counts[found] += count * OF_SEVERAL_LETTERS.get(found, 1)
    if counts["ja"] >= KANA_OF_JAPANESE * (counts["ja"] + counts["zh"]):
        counts["ja"] += counts.pop("zh", 0)
    language, count = max(counts.items(), key=lambda found: (found[1], found[0]), default=(None, 0))
    return language if count else None


def check_packages(languages: Iterable[str], *, stop_words: Collection[str] | None) -> None:
    """Raises: UserError that names the extra of a package which these languages need and which is not installed.

    Args: stop_words: those of the user; None: a package has them, except for English.
    """
    for language in languages:
        needed = [SEGMENTERS[language]] if language in SEGMENTERS else []
        needed += [STOP_WORD_PACKAGE] if language != ENGLISH and stop_words is None else []
        for package in needed:
            if find_spec(package) is None:
                raise UserError(
                    f"words of the language '{language}' need the package {package}, which is not installed; install"
                    f" the project's extra: pip install -e '.[{EXTRAS[package]}]'"
                )


@lru_cache(maxsize=1 << 16)
def _language_of(character: str) -> str | None:
    if not unicodedata.category(character).startswith("L"):
        return None
    return LANGUAGES.get(unicodedata.name(character, "").partition(" ")[0])
