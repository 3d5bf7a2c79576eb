"""The pieces of a masked LM's vocabulary: how each reads, which may be whole words, which continue a word."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from tokenizers.models import WordLevel, WordPiece
from transformers import PreTrainedTokenizerFast

from data_augment.words import is_word
from pipeline.errors import UserError

BEGINS, CONTINUES, IDEOGRAPH, OTHER = range(4)
"""The kinds of pieces: which begin a word, which continue one, ideographs, and whatever is no word."""

STARTS = ("Ġ", "▁")  # marks before a word: of byte-level BPE, of SentencePiece


class Vocabulary(NamedTuple):
    """The pieces that may be proposed: their ids (W,) int64, ascending, and how they read."""

    ids: np.ndarray
    words: list[str]


class Kinds(NamedTuple):
    """Of each piece of a vocabulary its kind (V,), and how it reads."""

    kind: np.ndarray
    text: list[str]


@lru_cache(maxsize=4)
def proposable(tokenizer: PreTrainedTokenizerFast) -> Vocabulary:
    """The whole words of the vocabulary: no special token, no continuation piece, nothing but letters.

    Raises: UserError where the tokenizer marks neither where words begin nor where they end.
    """
    texts, whole = _texts_of_pieces(tokenizer)
    words = {number: text for number, text in enumerate(texts) if whole[number] and is_word(text)}
    return Vocabulary(np.array(list(words), dtype=np.int64), list(words.values()))


@lru_cache(maxsize=4)
def kinds_of(tokenizer: PreTrainedTokenizerFast) -> Kinds:
    """The kind and the text of each piece of the vocabulary; pieces with anything but letters are of no kind.

    Raises: UserError where the tokenizer does not mark where words begin.
    """
    if _end_of_words(tokenizer):
        raise UserError(
            f"propose_candidates.several_pieces: the tokenizer of {tokenizer.name_or_path} does not mark where"
            " words begin, so the masked LM cannot fill several pieces; set it to vectors"
        )
    texts, begins = _texts_of_pieces(tokenizer)
    kind = np.full(len(texts), OTHER)
    for number, text in enumerate(texts):
        if text[:1] in ("", *"-.'’") or not is_word(f"a{text}"):
            continue
        # The two large blocks of ideographs; the signs of hexagrams between them are no words.
        ideograph = len(text) == 1 and "\u3400" <= text <= "\u9fff"
        kind[number] = IDEOGRAPH if ideograph else BEGINS if begins[number] else CONTINUES
    return Kinds(kind, texts)


def _texts_of_pieces(tokenizer: PreTrainedTokenizerFast) -> tuple[list[str], list[bool]]:
    """How each piece reads, nothing for a special token, and whether it can be a whole word: (V,) each."""
    size = max(tokenizer.get_vocab().values()) + 1
    tokens = [token or "" for token in tokenizer.convert_ids_to_tokens(list(range(size)))]
    model = tokenizer.backend_tokenizer.model
    if isinstance(model, WordPiece):
        prefix = model.continuing_subword_prefix
        whole = [not token.startswith(prefix) for token in tokens]
        texts = [token.removeprefix(prefix) for token in tokens]
    elif isinstance(model, WordLevel):
        whole, texts = [True] * size, tokens
    else:
        end = _end_of_words(tokenizer)
        whole = [token.endswith(end) if end else token.startswith(STARTS) for token in tokens]
        if not any(whole):
            raise UserError(
                f"the tokenizer of {tokenizer.name_or_path} marks neither where words begin nor where they end, so its"
                " masked language model cannot propose words; take another backbone, or set augment_data.variants: 0"
            )
        texts = [text.strip().removesuffix(end) for text in tokenizer.batch_decode([[i] for i in range(size)])]
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    return ["" if number in special else text for number, text in enumerate(texts)], whole


def _end_of_words(tokenizer: PreTrainedTokenizerFast) -> str:
    """What some BPE marks the end of a word with, as "</w>"."""
    return getattr(tokenizer.backend_tokenizer.model, "end_of_word_suffix", None) or ""
