"""How varied texts are: distinct-n (Li et al., arXiv:1510.03055) and self-BLEU (Zhu et al., arXiv:1802.01886)."""

import re
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import cast

from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from nltk.util import ngrams

# Ideographs with their signs, kana, and the letters of Thai, Lao, Burmese and Khmer: all that is counted by character.
WITHOUT_BLANKS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
)


def words_of(text: str) -> list[str]:
    """What blanks part; in scripts without blanks each character, as BLEU counts them (sacrebleu's `zh`)."""
    return WITHOUT_BLANKS.sub(r" \g<0> ", text).split()


def n_grams(texts: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """Every run of n words in the texts, in lower case."""
    return [gram for text in texts for gram in ngrams(words_of(text.lower()), n)]


def distinct(texts: Sequence[str], n: int) -> float:
    """Different n-grams over all n-grams of the texts; 0 without any."""
    found = n_grams(texts, n)
    return len(set(found)) / max(1, len(found))


def self_bleu(groups: Sequence[Sequence[str]]) -> float:
    """Mean BLEU-4 of each text against the other texts of its group: 1 where all say the same. 0 without any pair."""
    scores = [score for texts in groups for score in _of_group([words_of(text.lower()) for text in texts])]
    return fmean(scores or [0.0])


def _of_group(texts: Sequence[list[str]]) -> Iterator[float]:
    smooth = SmoothingFunction().method1  # short texts share no four words
    for index, text in enumerate(texts):
        if others := [*texts[:index], *texts[index + 1 :]]:
            yield cast(float, sentence_bleu(others, text, smoothing_function=smooth))
