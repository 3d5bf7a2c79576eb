"""Candidates from a masked LM, for words that are one piece of its vocabulary (TinyBERT, Algorithm 1).

Algorithm 1 decodes a copy of the text for each such word, with that word alone masked. With a `mask_share` one copy has
several words masked, as in the masked LM's own training (BERT, section 3.1): fewer copies, and each word is proposed
from a little less context. The copies of all texts are sorted by length and decoded together, and only the masked
positions go through the head.

C masked copies, M masked positions, T tokens, D width, V vocabulary, W words of the vocabulary.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from data_augment.pieces import Context, Encoded, SinglePiece, longest_input, proposable, single_pieces
from data_augment.words import Span
from pipeline.models.loading import separate_head

SLACK = 16  # decoded beyond K: the word itself, in several cases, and scores equal to the K-th
HEAD_POSITIONS = 512  # masked positions that go through the head at once: bounds the (positions, V) logits


def masked_lm_candidates(
    texts: Sequence[str],
    spans: Sequence[Sequence[Span]],
    *,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    k: int,
    decode_tokens: int,
    precision: Literal["bf16", "fp32"],
    context: Context = "single",
    mask_share: float = 0,
    max_length: int | None = None,
) -> dict[tuple[int, Span], list[tuple[str, float]]]:
    """The K words most likely at each given span that is one piece, with their log-probabilities, best first.

    Args:
        spans: for each text the words to decode, as spans of characters.
        decode_tokens: padded tokens that go through the encoder at once.
        context: "single", the masked text alone (Algorithm 1), or "pair", the original text behind it as second segment
            (the authors' code): the model then sees the word that it is asked to replace.
        mask_share: share of a text's tokens that may be masked in one copy; 0 masks one word (`masked_copies`).
        max_length: tokens a text is cut at; the model's own limit holds in any case.

    Returns: (index of the text, span) -> candidates. Words of several or unknown pieces, and words beyond the cut, are
        not in it. The word itself is never among its candidates; equal scores go by id. The log-probability is over the
        whole vocabulary, so the scores of one word add up to less than 1.
    Raises: UserError where the tokenizer has no mask token or gives no offsets.
    """
    encoded, pieces = single_pieces(
        texts, spans, tokenizer=tokenizer, longest=longest_input(model, tokenizer, max_length), context=context
    )
    copies = masked_copies(pieces, encoded, mask_share)
    # Stable; the batch that takes most memory comes first.
    copies.sort(key=lambda copy: -len(encoded[copy[0].text].ids))
    vocabulary = proposable(tokenizer)
    allowed_W = torch.from_numpy(vocabulary.ids).to(model.device)
    found: dict[tuple[int, Span], list[tuple[str, float]]] = {}
    model.eval()
    # One autocast context over all batches: it casts each weight once.
    with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bf16"):
        head = separate_head(model)
        for batch in _batches(copies, encoded, decode_tokens):
            for part, logits_MV in _masked_logits(batch, encoded, tokenizer, model, head):
                log_probabilities, words = _best(logits_MV, allowed_W, k + SLACK)
                for masked, row_scores, row_words in zip(part, log_probabilities, words, strict=True):
                    itself = texts[masked.text][slice(*masked.span)].casefold()
                    own_id = encoded[masked.text].ids[masked.position]  # spelt otherwise where accents are stripped
                    ranked = [
                        (vocabulary.words[word], float(score))
                        for word, score in zip(row_words, row_scores, strict=True)
                        if vocabulary.words[word].casefold() != itself and vocabulary.ids[word] != own_id
                    ]
                    found[masked.text, masked.span] = ranked[:k]
    return found


def masked_copies(
    pieces: Sequence[SinglePiece], encoded: Sequence[Encoded], mask_share: float
) -> list[list[SinglePiece]]:
    """The words that are masked together in one copy of their text: at most `mask_share` of its tokens, at least one.

    Words that follow each other in the text are never in the same copy.
    """
    by_text = defaultdict(list)
    for piece in pieces:
        by_text[piece.text].append(piece)
    copies = []
    for text, masked in by_text.items():
        together = max(1, int(mask_share * len(encoded[text].ids)))
        count = len(masked) if together == 1 else max(-(-len(masked) // together), min(2, len(masked)))
        copies += [masked[first::count] for first in range(count)]
    return copies


def _batches(
    copies: list[list[SinglePiece]], encoded: list[Encoded], decode_tokens: int
) -> Iterator[list[list[SinglePiece]]]:
    """Consecutive copies, the longest first, of at most `decode_tokens` padded tokens together."""
    first = 0
    while first < len(copies):
        count = max(1, decode_tokens // _padded(encoded[copies[first][0].text].ids))
        yield copies[first : first + count]
        first += count


def _padded(ids: list[int]) -> int:
    return -(-len(ids) // 8) * 8  # matrix units like multiples of 8


def _masked_logits(
    batch: list[list[SinglePiece]],
    encoded: list[Encoded],
    tokenizer: PreTrainedTokenizerFast,
    model: PreTrainedModel,
    head: nn.Module | None,
) -> Iterator[tuple[list[SinglePiece], Tensor]]:
    """The logits at the masked positions, (M <= HEAD_POSITIONS, V), with the words that stood there."""
    mask_id = cast(int, tokenizer.mask_token_id)  # `single_pieces` has checked it
    first = encoded[batch[0][0].text]  # the longest
    ids_CT = np.full((len(batch), _padded(first.ids)), tokenizer.pad_token_id or 0, dtype=np.int64)
    real_CT, segments_CT = np.zeros_like(ids_CT), np.zeros_like(ids_CT)
    for row, copy in enumerate(batch):
        text = encoded[copy[0].text]
        ids_CT[row, : len(text.ids)] = text.ids
        ids_CT[row, [word.position for word in copy]] = mask_id
        real_CT[row, : len(text.ids)] = 1
        segments_CT[row, : len(text.ids)] = text.segments or 0
    arrays = {"input_ids": ids_CT, "attention_mask": real_CT}
    if first.segments is not None:
        arrays["token_type_ids"] = segments_CT
    inputs = {name: torch.from_numpy(array).to(model.device) for name, array in arrays.items()}
    words = [word for copy in batch for word in copy]
    rows = torch.tensor([row for row, copy in enumerate(batch) for _ in copy])
    masks = rows.to(model.device), torch.tensor([word.position for word in words]).to(model.device)
    # Without a separate head the logits of all positions are made, and most of them thrown away.
    states = model.base_model(**inputs).last_hidden_state[masks] if head else model(**inputs).logits[masks]
    for start in range(0, len(words), HEAD_POSITIONS):
        part = states[start : start + HEAD_POSITIONS]
        yield words[start : start + HEAD_POSITIONS], head(part) if head else part


def _best(logits_MV: Tensor, allowed_W: Tensor, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities and positions in `allowed_W` of the best, (M, count) each: by score, then by id."""
    logits_MV = logits_MV.float()
    logits_MW = logits_MV[:, allowed_W]
    count = min(count, len(allowed_W))
    logits_MK, words_MK = logits_MW.topk(count, dim=-1)
    # Of equal scores at its end `topk` takes any. Where they reach into the first K, a stable sort takes the first.
    reaching_M = logits_MK[:, -1] == logits_MK[:, max(0, count - SLACK - 1)]
    words_MK[reaching_M] = logits_MW[reaching_M].argsort(dim=-1, descending=True, stable=True)[:, :count]
    log_probabilities = (logits_MK - logits_MV.logsumexp(dim=-1, keepdim=True)).cpu().numpy()
    logits, words = logits_MK.cpu().numpy(), words_MK.cpu().numpy()
    order = np.lexsort((words, -logits), axis=-1)  # `allowed_W` ascends, so by position is by id
    return np.take_along_axis(log_probabilities, order, 1), np.take_along_axis(words, order, 1)
