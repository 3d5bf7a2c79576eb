"""Candidates from a masked LM, for words that are one piece of its vocabulary (TinyBERT, Algorithm 1).

Algorithm 1 decodes a copy of the text for each such word, with that word alone masked. With a `mask_share` one copy has
several words masked, as in the masked LM's own training (BERT, section 3.1): fewer copies, and each word is proposed
from a little less context. The copies of all texts are sorted by length and decoded together, and only the masked
positions go through the head (`MaskPredictor`).

C masked positions, K candidates, V vocabulary, W words of the vocabulary.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from data_augment.mask_predictor import MaskedRow, MaskPredictor
from data_augment.pieces import Context, Encoded, SinglePiece, longest_input, single_pieces
from data_augment.vocabulary import proposable
from data_augment.words import Span

SLACK = 16  # decoded beyond K: the word itself, in several cases, and scores equal to the K-th


def masked_lm_candidates(
    texts: Sequence[str],
    spans: Sequence[Sequence[Span]],
    *,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    k: int,
    decode_tokens: int,
    precision: Literal["bf16", "fp32"],
    context: Context,
    mask_share: float,
) -> dict[tuple[int, Span], list[tuple[str, float]]]:
    """The K words most likely at each given span that is one piece, with their log-probabilities, best first.

    Args:
        spans: for each text the words to decode, as spans of characters.
        decode_tokens: padded tokens that go through the encoder at once.
        context: "single", the masked text alone (Algorithm 1), or "pair", the original text behind it as second segment
            (the authors' code): the model then sees the word that it is asked to replace.
        mask_share: share of a text's tokens that may be masked in one copy; 0 masks one word (`masked_copies`).

    Returns: (index of the text, span) -> candidates. Words of several or unknown pieces, and words beyond the cut, are
        not in it. The word itself is never among its candidates; equal scores go by id. The log-probability is over the
        whole vocabulary, so the scores of one word add up to less than 1.
    Raises: UserError where the tokenizer has no mask token or gives no offsets.
    """
    encoded, pieces = single_pieces(
        texts, spans, tokenizer=tokenizer, longest=longest_input(model, tokenizer), context=context
    )
    copies = masked_copies(pieces, encoded, mask_share)
    # Stable; the batch that takes most memory comes first.
    copies.sort(key=lambda copy: -len(encoded[copy[0].text].ids))
    vocabulary = proposable(tokenizer)
    allowed_W = torch.from_numpy(vocabulary.ids).to(model.device)
    found: dict[tuple[int, Span], list[tuple[str, float]]] = {}

    def keep_best(part: Sequence[SinglePiece], logits_CV: Tensor) -> None:
        log_probabilities, words = _best(logits_CV, allowed_W, k + SLACK)
        for masked, row_scores, row_words in zip(part, log_probabilities, words, strict=True):
            itself = texts[masked.text][slice(*masked.span)].casefold()
            own_id = encoded[masked.text].ids[masked.position]  # spelt otherwise where accents are stripped
            ranked = [
                (vocabulary.words[word], float(score))
                for word, score in zip(row_words, row_scores, strict=True)
                if vocabulary.words[word].casefold() != itself and vocabulary.ids[word] != own_id
            ]
            found[masked.text, masked.span] = ranked[:k]

    predictor = MaskPredictor(model, tokenizer, decode_tokens=decode_tokens, precision=precision)
    predictor.predict((_masked(copy, encoded[copy[0].text], predictor.mask) for copy in copies), keep_best)
    return found


def masked_copies(
    pieces: Sequence[SinglePiece], encoded: Sequence[Encoded], mask_share: float
) -> list[list[SinglePiece]]:
    """The words that are masked together in one copy of their text: at most `mask_share` of its tokens, at least one.

    Words that follow each other in the text, with nothing between them, are never in the same copy.
    """
    by_text = defaultdict(list)
    for piece in pieces:
        by_text[piece.text].append(piece)
    copies = []
    for text, masked in by_text.items():
        together = max(1, int(mask_share * encoded[text].text_tokens))
        count = -(-len(masked) // together)
        if count == 1 and any(after.position == before.position + 1 for before, after in pairwise(masked)):
            count = 2
        copies += [masked[first::count] for first in range(count)]
    return copies


def _masked(copy: Sequence[SinglePiece], text: Encoded, mask: int) -> MaskedRow[SinglePiece]:
    """A copy of its text, with the words of the copy masked."""
    ids = list(text.ids)
    for word in copy:
        ids[word.position] = mask
    return MaskedRow(ids, copy, text.segments)


def _best(logits_CV: Tensor, allowed_W: Tensor, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities and positions in `allowed_W` of the best, (C, count) each: by score, then by id."""
    logits_CW = logits_CV[:, allowed_W]
    count = min(count, len(allowed_W))
    logits_CK, words_CK = logits_CW.topk(count, dim=-1)
    # Of equal scores at its end `topk` takes any. Where they reach into the first K, a stable sort takes the first.
    reaching_C = logits_CK[:, -1] == logits_CK[:, max(0, count - SLACK - 1)]
    words_CK[reaching_C] = logits_CW[reaching_C].argsort(dim=-1, descending=True, stable=True)[:, :count]
    log_probabilities = (logits_CK - logits_CV.logsumexp(dim=-1, keepdim=True)).cpu().numpy()
    logits, words = logits_CK.cpu().numpy(), words_CK.cpu().numpy()
    order = np.lexsort((words, -logits), axis=-1)  # `allowed_W` ascends, so by position is by id
    return np.take_along_axis(log_probabilities, order, 1), np.take_along_axis(words, order, 1)
