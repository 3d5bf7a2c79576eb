"""Candidates from a masked LM for words of several pieces: all pieces masked together, the best joint fillings.

A beam goes over the pieces of a word from left to right: each pass fills one more piece of every kept filling, the
pieces behind it still masked. Each whole filling is then scored once more as a whole, by its pseudo-log-likelihood: the
sum of the log-probabilities of its pieces, each masked while all others stand (Salazar et al., arXiv:1910.14659).

C positions, V vocabulary, N pieces taken.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from data_augment.fillings import Filling, Reader, Word, find_pieces, together
from data_augment.mask_predictor import MaskedRow, MaskPredictor
from data_augment.pieces import longest_input
from data_augment.vocabulary import OTHER, kinds_of
from data_augment.words import Span

TAKEN = 8  # last pieces tried for each that may be kept: many make no word

Ranked = list[tuple[str, float]]


class MaskedPosition(NamedTuple):
    """A masked position of a row, whose prediction is wanted for a word, in one of its fillings."""

    word: Word
    filling: int
    position: int


def several_piece_candidates(
    texts: Sequence[str],
    spans: Sequence[Sequence[Span]],
    *,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    k: int,
    beam: int,
    decode_tokens: int,
    precision: Literal["bf16", "fp32"],
    mask_share: float,
    one_word: Callable[[int, str], bool],
) -> dict[tuple[int, Span], Ranked]:
    """The best fillings of each word of several pieces, with their pseudo-log-likelihoods, best first.

    Args:
        k: candidates a word; no more than `beam`.
        beam: fillings that are kept at each piece.
        mask_share: share of a text's tokens that may be masked in one pass, as several of its words. 0: one word.
        one_word: whether a filling is one word of the language of a text, by the number of the text.

    Returns: (index of the text, span) -> candidates. Words of one piece that begins a word are not in it: one mask is
        enough for them. Nor are those with an unknown piece, beyond the cut, of too many pieces, or without a filling.
    """
    kinds, longest = kinds_of(tokenizer), longest_input(model, tokenizer)
    encoded, words = find_pieces(texts, spans, tokenizer=tokenizer, kinds=kinds, longest=longest)
    # Padding is not counted: other batches would give float32 scores that differ in their last bits.
    predictor = MaskPredictor(model, tokenizer, decode_tokens=decode_tokens, precision=precision, count_padding=False)
    copies = sorted(together(words, encoded, mask_share=mask_share), key=lambda copy: -len(encoded[copy[0].text]))
    reader = Reader(texts, encoded, kinds, tokenizer, one_word)
    grown = Beam(copies, predictor=predictor, reader=reader, beam=beam)
    for step in range(max((len(word.masked) for word in words), default=0)):
        grown.extend(step)
    before_last = grown.scores_before_last()
    found: dict[tuple[int, Span], Ranked] = {}
    for word in words:
        ranked = [
            (reader.reads(word, filling.ids), filling.last + before_last.get((word, number), 0.0))
            for number, filling in enumerate(word.fillings)
        ]
        if ranked:
            found[word.text, word.span] = sorted(ranked, key=lambda candidate: -candidate[1])[:k]
    return found


class Beam:
    """The words of some texts, each with its best fillings, which grow piece by piece.

    Args:
        copies: the words that are masked together; copies of long texts come first.
        beam: fillings that are kept at each piece.
    """

    def __init__(
        self, copies: Sequence[Sequence[Word]], *, predictor: MaskPredictor, reader: Reader, beam: int
    ) -> None:
        self.copies, self.predictor, self.reader, self.beam = copies, predictor, reader, beam

    def extend(self, step: int) -> None:
        """Give every filling one piece more, the best, and keep the best fillings of each word."""
        extended = self._extensions(step)
        for copy in self.copies:
            for word in copy:
                if len(word.masked) > step:
                    self._keep_best(word, extended.pop(word, []))

    def _extensions(self, step: int) -> dict[Word, list[Filling]]:
        """By word its fillings with one piece more, each with its score."""

        def rows() -> Iterator[MaskedRow[MaskedPosition]]:
            for copy in self.copies:
                open_words = [word for word in copy if len(word.masked) > step]
                for turn in range(max((len(word.fillings) for word in open_words), default=0)):
                    wanted = [
                        MaskedPosition(word, word.in_turn(turn + shift), word.masked[step])
                        for shift, word in enumerate(copy)
                        if len(word.masked) > step and turn < len(word.fillings)
                    ]
                    yield MaskedRow(self._filled(copy, turn), wanted)

        encoded, kind_of = self.reader.encoded, self.reader.kinds.kind
        size = len(kind_of)
        of_kind = torch.from_numpy(np.stack([kind_of == kind for kind in range(OTHER)]))
        of_kind = of_kind.to(self.predictor.model.device)
        found: dict[Word, list[Filling]] = {}

        def keep(wanted: Sequence[MaskedPosition], logits_CV: Tensor) -> None:
            own = [int(kind_of[encoded[one.word.text][one.position]]) for one in wanted]
            allowed_CV = of_kind[torch.tensor(own, device=logits_CV.device)]
            scores_CV = logits_CV.log_softmax(dim=-1)[:, :size].masked_fill(~allowed_CV, -torch.inf)
            scores_CN, pieces_CN = scores_CV.topk(min(TAKEN * self.beam, size), dim=-1)
            for one, scores, pieces in zip(wanted, scores_CN.tolist(), pieces_CN.tolist(), strict=True):
                begun = one.word.fillings[one.filling]
                taken = TAKEN * self.beam if step == len(one.word.masked) - 1 else self.beam
                found.setdefault(one.word, []).extend(
                    Filling(begun.score + last, (*begun.ids, piece), last)
                    for last, piece in zip(scores[:taken], pieces[:taken], strict=True)
                    if last > -np.inf
                )

        self.predictor.predict(rows(), keep)
        return found

    def _keep_best(self, word: Word, extended: list[Filling]) -> None:
        """Keep the best fillings of a word; those that are whole have to be words."""
        extended.sort(key=lambda filling: (-filling.score, filling.ids))
        may_stay = (
            filling
            for filling in extended
            if len(filling.ids) < len(word.masked) or self.reader.may_stand(word, filling.ids)
        )
        word.fillings = list(islice(may_stay, self.beam))

    def scores_before_last(self) -> dict[tuple[Word, int], float]:
        """By word and filling: the sum of the log-probabilities of its pieces but the last, each masked alone.

        That of the last piece, before which all others stand, is known from the beam.
        """

        def rows() -> Iterator[MaskedRow[MaskedPosition]]:
            for copy in self.copies:
                for number in range(max(len(word.masked) for word in copy) - 1):
                    for turn in range(max(len(word.fillings) for word in copy)):
                        ids = self._filled(copy, turn)
                        wanted = []
                        for shift, word in enumerate(copy):
                            if number < len(word.masked) - 1 and turn < len(word.fillings):
                                position = word.masked[number]
                                wanted.append(MaskedPosition(word, word.in_turn(turn + shift), position))
                                ids[position] = self.predictor.mask
                        yield MaskedRow(ids, wanted)

        found: dict[tuple[Word, int], float] = {}

        def keep(wanted: Sequence[MaskedPosition], logits_CV: Tensor) -> None:
            filled = [one.word.fillings[one.filling].ids[one.word.masked.index(one.position)] for one in wanted]
            filled_C1 = torch.tensor(filled, device=logits_CV.device)[:, None]
            scores = logits_CV.log_softmax(dim=-1).gather(1, filled_C1)[:, 0].tolist()
            for one, score in zip(wanted, scores, strict=True):
                found[one.word, one.filling] = found.get((one.word, one.filling), 0.0) + score

        self.predictor.predict(rows(), keep)
        return found

    def _filled(self, copy: Sequence[Word], turn: int) -> list[int]:
        """The ids of a text in which each word of a copy holds its filling of this turn, its other pieces masked.

        The turns of the words are shifted against each other, so that the best fillings do not all meet in one row.
        """
        ids = list(self.reader.encoded[copy[0].text])
        for shift, word in enumerate(copy):
            filling = word.fillings[word.in_turn(turn + shift)].ids if word.fillings else ()
            for number, position in enumerate(word.masked):
                ids[position] = filling[number] if number < len(filling) else self.predictor.mask
        return ids
