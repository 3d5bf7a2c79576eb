"""Words and the pieces of a tokenizer: which words are one piece, and which pieces are whole words."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from tokenizers.models import WordPiece
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from data_augment.words import Span, is_word
from pipeline.errors import UserError


class SinglePiece(NamedTuple):
    """A word that is one token: the index of its text, its span there, the position of its token."""

    text: int
    span: Span
    position: int


class Vocabulary(NamedTuple):
    """The pieces that may be proposed: their ids (W,) int64, ascending, and how they read."""

    ids: np.ndarray
    words: list[str]


@lru_cache(maxsize=4)
def proposable(tokenizer: PreTrainedTokenizerFast) -> Vocabulary:
    """The whole words of the vocabulary: no special token, no continuation piece, nothing but letters."""
    model = tokenizer.backend_tokenizer.model
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    ids = [token_id for token_id in sorted(tokenizer.get_vocab().values()) if token_id not in special]
    tokens = dict(zip(ids, tokenizer.convert_ids_to_tokens(ids), strict=True))
    if isinstance(model, WordPiece):
        whole = {i: token for i, token in tokens.items() if not token.startswith(model.continuing_subword_prefix)}
    else:  # byte-level BPE marks the start of a word by "Ġ", SentencePiece by "▁"
        starts = [i for i, token in tokens.items() if token[:1] in ("Ġ", "▁")]
        whole = dict(zip(starts, (text.strip() for text in tokenizer.batch_decode([[i] for i in starts])), strict=True))
    words = {i: word for i, word in whole.items() if is_word(word)}
    return Vocabulary(np.array(list(words), dtype=np.int64), list(words.values()))


def longest_input(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, max_length: int | None) -> int:
    """Tokens a text is cut at: the least of `max_length`, the tokenizer's limit and the model's positions."""
    limits = [tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None), max_length]
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            unused = 0 if module.padding_idx is None else module.padding_idx + 1  # RoBERTa counts from there
            limits.append(module.num_embeddings - unused)
    return min(limit for limit in limits if limit is not None)


def single_pieces(
    texts: Sequence[str], spans: Sequence[Sequence[Span]], *, tokenizer: PreTrainedTokenizerFast, longest: int
) -> tuple[list[list[int]], list[SinglePiece]]:
    """The token ids of each text, cut at `longest`, and which of the given spans are exactly one known piece.

    Raises UserError where the tokenizer cannot serve: no mask token, or no offsets (not a fast one).
    """
    if tokenizer.mask_token_id is None or not tokenizer.is_fast:
        raise UserError(
            f"the tokenizer of {tokenizer.name_or_path} has no mask token or is not a fast one; "
            "candidates need the fast tokenizer of a masked language model"
        )
    if not texts:
        return [], []
    encoded = tokenizer(list(texts), truncation=True, max_length=longest, return_offsets_mapping=True)
    found = []
    for index, (text, words) in enumerate(zip(texts, spans, strict=True)):
        ids, offsets = encoded["input_ids"][index], encoded["offset_mapping"][index]
        # A byte-level token may include the blank before it.
        positions = {
            (end - len(text[start:end].lstrip()), end): position for position, (start, end) in enumerate(offsets)
        }
        found += [
            SinglePiece(index, span, position)
            for span in words
            if (position := positions.get(span)) is not None
            and ids[position] != tokenizer.unk_token_id
            # The bytes of one character, each a token, all show its span; `positions` keeps the last of them.
            and (position == 0 or offsets[position - 1] != offsets[position])
        ]
    return encoded["input_ids"], found
