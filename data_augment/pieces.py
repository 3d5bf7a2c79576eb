"""Words and the pieces of a tokenizer: which words are one piece, and which pieces are whole words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from tokenizers.models import WordLevel, WordPiece
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from data_augment.words import Span, is_word
from pipeline.errors import UserError

BEGINS, CONTINUES, IDEOGRAPH, OTHER = range(4)
"""The kinds of pieces: which begin a word, which continue one, ideographs, and whatever is no word."""

STARTS = ("Ġ", "▁")  # marks before a word: of byte-level BPE, of SentencePiece

Context = Literal["single", "pair"]
"""What the masked LM sees: the text with its mask (Algorithm 1), or the unmasked text behind it as second segment."""


@dataclass(frozen=True)
class Encoded:
    """A text as a masked LM reads it: token ids and, where the model tells segments apart, their segments."""

    ids: list[int]
    segments: list[int] | None


class SinglePiece(NamedTuple):
    """A word that is one token: the index of its text, its span there, the position of its token."""

    text: int
    span: Span
    position: int


class Kinds(NamedTuple):
    """Of each piece of a vocabulary its kind (V,), and how it reads."""

    kind: np.ndarray
    text: list[str]


class Vocabulary(NamedTuple):
    """The pieces that may be proposed: their ids (W,) int64, ascending, and how they read."""

    ids: np.ndarray
    words: list[str]


@lru_cache(maxsize=4)
def proposable(tokenizer: PreTrainedTokenizerFast) -> Vocabulary:
    """The whole words of the vocabulary: no special token, no continuation piece, nothing but letters.

    Raises: UserError where the tokenizer marks neither where words begin nor where they end.
    """
    model = tokenizer.backend_tokenizer.model
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    ids = [token_id for token_id in sorted(tokenizer.get_vocab().values()) if token_id not in special]
    tokens = dict(zip(ids, tokenizer.convert_ids_to_tokens(ids), strict=True))
    if isinstance(model, WordPiece):
        whole = {i: token for i, token in tokens.items() if not token.startswith(model.continuing_subword_prefix)}
    elif isinstance(model, WordLevel):
        whole = tokens
    else:  # some BPE marks the end of a word, as "</w>"
        end = getattr(model, "end_of_word_suffix", None) or ""
        marked = [i for i, token in tokens.items() if (token.endswith(end) if end else token.startswith(STARTS))]
        if not marked:
            raise UserError(
                f"the tokenizer of {tokenizer.name_or_path} marks neither where words begin nor where they end, so its"
                " masked language model cannot propose words; take another backbone, or set augment_data.variants: 0"
            )
        texts = tokenizer.batch_decode([[i] for i in marked])
        whole = {i: text.strip().removesuffix(end) for i, text in zip(marked, texts, strict=True)}
    words = {i: word for i, word in whole.items() if is_word(word)}
    return Vocabulary(np.array(list(words), dtype=np.int64), list(words.values()))


def longest_input(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> int:
    """Tokens a text is cut at: the lesser of the tokenizer's limit and the model's positions."""
    limits = [tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None)]
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            unused = 0 if module.padding_idx is None else module.padding_idx + 1  # RoBERTa counts from there
            limits.append(module.num_embeddings - unused)
    return min(limit for limit in limits if limit is not None)


def single_pieces(
    texts: Sequence[str],
    spans: Sequence[Sequence[Span]],
    *,
    tokenizer: PreTrainedTokenizerFast,
    longest: int,
    context: Context,
) -> tuple[list[Encoded], list[SinglePiece]]:
    """Each text as tokens, cut at `longest`, and which of the given spans are exactly one known piece of it.

    Raises UserError where the tokenizer cannot serve: no mask token, or no offsets (not a fast one).
    """
    encoded, found = [], []
    for index, (one, places) in enumerate(located(texts, tokenizer=tokenizer, longest=longest, context=context)):
        encoded.append(one)
        positions = {span: position for position, span in places.items()}
        found += [
            SinglePiece(index, span, position)
            for span in spans[index]
            if (position := positions.get(span)) is not None
            and one.ids[position] != tokenizer.unk_token_id
            # The bytes of one character, each a token, all show its span; `positions` keeps the last of them.
            and places.get(position - 1) != span
        ]
    return encoded, found


def located(
    texts: Sequence[str], *, tokenizer: PreTrainedTokenizerFast, longest: int, context: Context = "single"
) -> Iterator[tuple[Encoded, dict[int, Span]]]:
    """Each text as tokens, cut at `longest`, and the span of the text at each position that holds a token of it.

    What is cut is the end: of a pair first the second segment, which holds no mask.

    Raises UserError where the tokenizer cannot serve: no mask token, or no offsets (not a fast one).
    """
    if tokenizer.mask_token_id is None or not tokenizer.is_fast:
        raise UserError(
            f"the tokenizer of {tokenizer.name_or_path} has no mask token or is not a fast one; "
            "candidates need the fast tokenizer of a masked language model"
        )
    if not texts:
        return
    second = list(texts) if context == "pair" else None
    batch = tokenizer(list(texts), second, return_offsets_mapping=True, verbose=False)
    for index, text in enumerate(texts):
        one = batch.encodings[index]  # pyright: ignore[reportOptionalSubscript] (a fast tokenizer has them)
        cut = len(one.ids) > longest
        ids = [*one.ids[: longest - 1], one.ids[-1]] if cut else one.ids
        sequence_ids = one.sequence_ids  # made anew at each access
        segments = one.type_ids[: len(ids)] if second and "token_type_ids" in tokenizer.model_input_names else None
        yield (
            Encoded(ids, segments),
            {
                # A byte-level token may include the blank before it.
                position: (end - len(text[start:end].lstrip()), end)
                for position, (start, end) in enumerate(one.offsets[: len(ids) - cut])
                if sequence_ids[position] == 0
            },
        )


@lru_cache(maxsize=4)
def kinds_of(tokenizer: PreTrainedTokenizerFast) -> Kinds:
    """The kind and the text of each piece of the vocabulary; pieces with anything but letters are of no kind.

    Raises: UserError where the tokenizer does not mark where words begin.
    """
    size = max(tokenizer.get_vocab().values()) + 1
    tokens = [token or "" for token in tokenizer.convert_ids_to_tokens(list(range(size)))]
    model = tokenizer.backend_tokenizer.model
    if isinstance(model, WordPiece):
        prefix = model.continuing_subword_prefix
        begins = [not token.startswith(prefix) for token in tokens]
        text = [token.removeprefix(prefix) for token in tokens]
    elif isinstance(model, WordLevel):
        begins, text = [True] * size, tokens
    else:
        begins = [token.startswith(STARTS) for token in tokens]
        if not any(begins):
            raise UserError(
                f"propose_candidates.several_pieces: the tokenizer of {tokenizer.name_or_path} does not mark where"
                " words begin, so the masked LM cannot fill several pieces; set it to vectors"
            )
        text = [piece.strip() for piece in tokenizer.batch_decode([[number] for number in range(size)])]
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    kind = np.full(size, OTHER)
    for number, piece in enumerate(text):
        if number in special or piece[:1] in ("", *"-.'’") or not is_word(f"a{piece}"):
            continue
        # The two large blocks of ideographs; the signs of hexagrams between them are no words.
        ideograph = len(piece) == 1 and "\u3400" <= piece <= "\u9fff"
        kind[number] = IDEOGRAPH if ideograph else BEGINS if begins[number] else CONTINUES
    return Kinds(kind, text)
