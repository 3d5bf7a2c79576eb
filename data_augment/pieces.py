"""Words and the tokens of a text: where each word stands, and which words are one piece of the vocabulary."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from data_augment.words import Span
from pipeline.errors import UserError

Context = Literal["single", "pair"]
"""What the masked LM sees: the text with its mask (Algorithm 1), or the unmasked text behind it as second segment."""


@dataclass(frozen=True)
class Encoded:
    """A text as a masked LM reads it: token ids and, where the model tells segments apart, their segments."""

    ids: list[int]
    segments: list[int] | None
    text_tokens: int
    """How many of the ids are the text and the special tokens around it, without a second segment."""


class SinglePiece(NamedTuple):
    """A word that is one token: the index of its text, its span there, the position of its token."""

    text: int
    span: Span
    position: int


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
    for index, (one, span_at) in enumerate(located(texts, tokenizer=tokenizer, longest=longest, context=context)):
        encoded.append(one)
        positions = {span: position for position, span in span_at.items()}
        found += [
            SinglePiece(index, span, position)
            for span in spans[index]
            if (position := positions.get(span)) is not None
            and one.ids[position] != tokenizer.unk_token_id
            # The bytes of one character, each a token, all show its span; `positions` keeps the last of them.
            and span_at.get(position - 1) != span
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
            Encoded(ids, segments, len(ids) - sequence_ids[: len(ids)].count(1)),
            {
                # A byte-level token may include the blank before it.
                position: (end - len(text[start:end].lstrip()), end)
                for position, (start, end) in enumerate(one.offsets[: len(ids) - cut])
                if sequence_ids[position] == 0
            },
        )
