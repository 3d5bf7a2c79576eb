"""What could stand at each word of a text, proposed one shard at a time.

Shards are fixed slices of the different texts, and batches are formed inside a shard, so that the candidates do not
depend on the number of processes.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from data_augment.candidates_folder import IN_MEMORY
from data_augment.masked_lm import masked_lm_candidates
from data_augment.placeholders import PLACEHOLDERS, own_tokens
from data_augment.several_pieces import Ranked, several_piece_candidates
from data_augment.vectors import WordVectors
from data_augment.words import Span, drawn_words, is_one_word, replaceable_words, stop_list
from pipeline.config.data import ProposeCandidates
from pipeline.data.languages import Languages


def unique_texts(texts: Iterable[str]) -> list[str]:
    """The different texts, in the order in which each first occurs."""
    return list(dict.fromkeys(texts))


def shards(texts: Sequence[str], *, shard_texts: int) -> list[Sequence[str]]:
    """Fixed slices of the different texts; without any text one empty shard."""
    return [texts[first : first + shard_texts] for first in range(0, max(1, len(texts)), shard_texts)]


@dataclass(frozen=True, kw_only=True)
class Proposer:
    """What proposes candidates for the words of texts, as the settings say."""

    settings: ProposeCandidates
    tokenizer: PreTrainedTokenizerFast
    model: PreTrainedModel
    vectors: WordVectors | None
    languages: Languages  # of the texts
    word_share: float  # share of the replaceable words that get candidates at all (`drawn_words`)
    precision: Literal["bf16", "fp32"]

    def shard(self, texts: Sequence[str]) -> pa.Table:
        """The candidates of different texts, as a table of IN_MEMORY, by text and then by span.

        The masked LM proposes for words of one piece; the vectors for all others, words beyond its longest input among
        them, or the masked LM here too (`several_pieces`). A word for which nothing is proposed has no row.
        """
        spans = self._spans(texts)
        by_model = self._by_model(texts, spans)
        others = [
            texts[index][slice(*span)]
            for index, words in enumerate(spans)
            for span in words
            if (index, span) not in by_model
        ]
        k = self.settings.candidates
        near = dict(zip(others, self.vectors.neighbours(others, k), strict=True)) if self.vectors else {}
        return _table(texts, spans, by_model, near)

    def _spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """The words of each text that get candidates."""
        settings, found = self.settings, []
        stop = {language: stop_list(settings.stop_words, language) for language in self.languages.found}
        protect = re.compile(settings.protect) if settings.protect else None
        never = [own_tokens(self.tokenizer), *([PLACEHOLDERS] if settings.placeholders else [])]
        for text in texts:
            language = self.languages.of(text)
            words = replaceable_words(text, stop_words=stop[language], protect=protect, never=never, language=language)
            found.append(drawn_words(text, words, self.word_share))
        return found

    def _by_model(self, texts: Sequence[str], spans: Sequence[Sequence[Span]]) -> dict[tuple[int, Span], Ranked]:
        """What the masked LM proposes."""
        settings, mode = self.settings, self.settings.several_pieces
        found = masked_lm_candidates(
            texts,
            spans,
            model=self.model,
            tokenizer=self.tokenizer,
            k=settings.candidates,
            decode_tokens=settings.tokens_at_once,
            precision=self.precision,
            context=settings.context,
            mask_share=settings.mask_share,
        )
        if mode == "vectors":
            return found
        if mode == "both" and self.vectors:
            known = self.vectors.row
            spans = [
                [span for span in words if known(text[slice(*span)]) is None]
                for text, words in zip(texts, spans, strict=True)
            ]
        languages = [self.languages.of(text) for text in texts]
        return found | several_piece_candidates(
            texts,
            spans,
            model=self.model,
            tokenizer=self.tokenizer,
            k=settings.candidates,
            beam=settings.beam,
            decode_tokens=settings.tokens_at_once,
            precision=self.precision,
            mask_share=settings.mask_share,
            one_word=lambda index, word: is_one_word(word, languages[index]),
        )


def _table(
    texts: Sequence[str],
    spans: Sequence[Sequence[Span]],
    by_model: dict[tuple[int, Span], Ranked],
    near: Mapping[str, list[tuple[str, float]]],
) -> pa.Table:
    """A row for each word with candidates. Args: near: words -> what the vectors propose for them."""
    rows = []
    for index, span in ((index, span) for index, words in enumerate(spans) for span in words):
        word = texts[index][slice(*span)]
        is_by_model = (index, span) in by_model
        ranked = by_model[index, span] if is_by_model else near.get(word)
        if ranked:
            rows.append(
                {
                    "text": texts[index],
                    "start": span[0],
                    "end": span[1],
                    "word": word,
                    "source": "masked_lm" if is_by_model else "vectors",
                    "candidates": [candidate for candidate, _ in ranked],
                    "scores": [score for _, score in ranked],
                }
            )
    return pa.Table.from_pylist(rows, schema=IN_MEMORY)
