"""What could stand at each word of a text, proposed one shard at a time.

Shards are fixed slices of the different texts, and batches are formed inside a shard, so that the candidates do not
depend on the number of processes.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Literal

import pyarrow as pa
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from data_augment.candidates_folder import SCHEMA
from data_augment.masked_lm import masked_lm_candidates
from data_augment.pieces import Context
from data_augment.placeholders import PLACEHOLDERS, own_tokens
from data_augment.several_pieces import SeveralPieces, several_piece_candidates
from data_augment.vectors import WordVectors
from data_augment.words import drawn_words, is_one_word, replaceable_words, stop_list
from pipeline.data.languages import ONLY_ENGLISH, Languages


def unique_texts(texts: Iterable[str]) -> list[str]:
    """The different texts, in the order in which each first occurs."""
    return list(dict.fromkeys(texts))


def shards(texts: Sequence[str], *, shard_texts: int) -> list[Sequence[str]]:
    """Fixed slices of the different texts; without any text one empty shard."""
    return [texts[first : first + shard_texts] for first in range(0, max(1, len(texts)), shard_texts)]


def propose_shard(
    texts: Sequence[str],
    *,
    tokenizer: PreTrainedTokenizerFast,
    model: PreTrainedModel,
    vectors: WordVectors | None,
    k: int,
    decode_tokens: int,
    precision: Literal["bf16", "fp32"],
    context: Context = "single",
    mask_share: float = 0,
    word_share: float = 1,
    protect: re.Pattern[str] | None = None,
    placeholders: bool = True,
    stop_words: Collection[str] | None = None,
    languages: Languages = ONLY_ENGLISH,
    several_pieces: SeveralPieces = "vectors",
    beam: int = 8,
) -> pa.Table:
    """The candidates of one shard, as a table of SCHEMA, by text and then by span.

    The masked LM proposes for words of one piece; the vectors for all others, words beyond its longest input among
    them, or the masked LM here too (`several_pieces`). A word for which nothing is proposed has no row.

    Args:
        texts: different texts.
        context, mask_share: what the masked LM sees, and how much of it is masked at once (`masked_lm_candidates`).
        word_share: share of the replaceable words that get candidates at all (`drawn_words`).
        placeholders: whether placeholders, addresses, @names and #tags stay (`PLACEHOLDERS`); the tokenizer's own
            tokens always do.
        protect, stop_words: what is never replaced (`replaceable_words`, `stop_list`).
        languages: of the texts.
        several_pieces: where candidates for words of several pieces come from.
        beam: of the masked LM for these (`several_piece_candidates`).
    """
    stop = {language: stop_list(stop_words, language) for language in languages.found}
    named = [(text, languages.of(text)) for text in texts]
    never = [own_tokens(tokenizer), *([PLACEHOLDERS] if placeholders else [])]
    replaceable = (
        replaceable_words(text, stop_words=stop[name], protect=protect, never=never, language=name)
        for text, name in named
    )
    spans = [drawn_words(text, words, word_share) for text, words in zip(texts, replaceable, strict=True)]
    proposed = masked_lm_candidates(
        texts,
        spans,
        model=model,
        tokenizer=tokenizer,
        k=k,
        decode_tokens=decode_tokens,
        precision=precision,
        context=context,
        mask_share=mask_share,
    )
    if several_pieces != "vectors":
        known = vectors.row if several_pieces == "both" and vectors else lambda _: None
        open_spans = [
            [span for span in words if known(text[slice(*span)]) is None]
            for text, words in zip(texts, spans, strict=True)
        ]
        proposed |= several_piece_candidates(
            texts,
            open_spans,
            model=model,
            tokenizer=tokenizer,
            k=k,
            beam=beam,
            decode_tokens=decode_tokens,
            precision=precision,
            mask_share=mask_share,
            one_word=lambda index, word: is_one_word(word, named[index][1]),
        )
    places = [(index, span) for index, words in enumerate(spans) for span in words]
    others = [texts[index][slice(*span)] for index, span in places if (index, span) not in proposed]
    near = dict(zip(others, vectors.neighbours(others, k), strict=True)) if vectors else {}
    rows = []
    for index, span in places:
        word = texts[index][slice(*span)]
        by_model = proposed.get((index, span))
        ranked = near.get(word, []) if by_model is None else by_model
        if ranked:
            rows.append(
                {
                    "text": texts[index],
                    "start": span[0],
                    "end": span[1],
                    "word": word,
                    "source": "vectors" if by_model is None else "masked_lm",
                    "candidates": [candidate for candidate, _ in ranked],
                    "scores": [score for _, score in ranked],
                }
            )
    return pa.Table.from_pylist(rows, schema=SCHEMA)
