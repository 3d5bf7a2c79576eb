"""Candidates from a masked LM for words of several pieces: all pieces masked together, the best joint fillings.

A beam goes over the pieces of a word from left to right: each pass fills one more piece of every kept filling, the
pieces behind it still masked. Each whole filling is then scored once more as a whole, by its pseudo-log-likelihood: the
sum of the log-probabilities of its pieces, each masked while all others stand (Salazar et al., arXiv:1910.14659).

A filling has as many pieces as the word, of the same kinds: a piece that begins a word is replaced by such a one, a
piece that continues one by one that does, an ideograph by an ideograph; hyphens and the like stay.

C positions, V vocabulary, N pieces taken.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby, islice
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from tokenizers.models import WordPiece
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from data_augment.pieces import longest_input
from data_augment.words import Span, is_word
from pipeline.models.loading import separate_head

SeveralPieces = Literal["vectors", "masked_lm", "both"]
"""Where candidates for words of several pieces come from; both: the vectors, and the masked LM for words without."""

MOST_PIECES = 6  # a longer word has no candidates: a filling of so many pieces is rarely a word
TAKEN = 8  # last pieces tried for each that may be kept: many make no word
HEAD_POSITIONS = 512  # positions that go through the head at once: bounds the (C, V) logits
BEGINS, CONTINUES, IDEOGRAPH, OTHER = range(4)

Ranked = list[tuple[str, float]]


class Filling(NamedTuple):
    """Ids of the pieces filled so far, the sum of their log-probabilities, and the last of these."""

    score: float
    ids: tuple[int, ...]
    last: float


class Kinds(NamedTuple):
    """Of each piece of a vocabulary its kind (V,), and how it reads."""

    kind: np.ndarray
    text: list[str]


@dataclass
class Word:
    """A word to fill: where its pieces stand, those that are masked, and the fillings found so far."""

    text: int
    span: Span
    pieces: range
    masked: list[int]
    fillings: list[Filling] = field(default_factory=lambda: [Filling(0.0, (), 0.0)])
    """Best first."""


class Wanted(NamedTuple):
    """A position of a row whose prediction is wanted: for a word, of one of its fillings."""

    word: Word
    filling: int
    position: int


Row = tuple[list[int], list[Wanted]]  # the ids that go through the model


class Decoder:
    """A masked LM and its tokenizer: log-probabilities at positions of rows of ids."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, *, decode_tokens: int, precision: str
    ) -> None:
        self.model, self.head = model.eval(), separate_head(model)
        self.mask, self.padding = cast(int, tokenizer.mask_token_id), tokenizer.pad_token_id or 0
        self.decode_tokens, self.precision = decode_tokens, precision

    def decode(self, rows: Iterable[Row]) -> Iterator[tuple[list[Wanted], torch.Tensor]]:
        """The wanted positions in parts, each with the log-probabilities (C, V) there."""
        dtype, device = torch.bfloat16, self.model.device
        with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=self.precision == "bf16"):
            for batch in self._batches(rows):
                longest = -(-max(len(ids) for ids, _ in batch) // 8) * 8  # matrix units like multiples of 8
                ids = torch.tensor([row + [self.padding] * (longest - len(row)) for row, _ in batch])
                real = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row, _ in batch])
                wanted = [one for _, part in batch for one in part]
                where = [number for number, (_, part) in enumerate(batch) for _ in part]
                at = torch.tensor(where, device=device), torch.tensor([w.position for w in wanted], device=device)
                inputs = {"input_ids": ids.to(device), "attention_mask": real.to(device)}
                states = (
                    self.model.base_model(**inputs).last_hidden_state[at]
                    if self.head
                    else self.model(**inputs).logits[at]
                )
                for first in range(0, len(wanted), HEAD_POSITIONS):
                    part = states[first : first + HEAD_POSITIONS]
                    logits_CV = self.head(part) if self.head else part
                    yield wanted[first : first + HEAD_POSITIONS], logits_CV.float().log_softmax(dim=-1)

    def _batches(self, rows: Iterable[Row]) -> Iterator[list[Row]]:
        """Consecutive rows of at most `decode_tokens` padded tokens together."""
        batch: list[Row] = []
        longest = 0
        for row in rows:
            longest = max(longest, len(row[0]))
            if batch and longest * (len(batch) + 1) > self.decode_tokens:
                yield batch
                batch, longest = [], len(row[0])
            if row[1]:
                batch.append(row)
        if batch:
            yield batch


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
    mask_share: float = 0.0,
    max_length: int | None = None,
    one_word: Callable[[int, str], bool] = lambda text, candidate: True,
) -> dict[tuple[int, Span], Ranked]:
    """The best fillings of each word of several pieces, with their pseudo-log-likelihoods, best first.

    Args:
        k: candidates a word; no more than `beam`.
        beam: fillings that are kept at each piece.
        mask_share: share of a text's tokens that may be masked in one pass, as several of its words. 0: one word.
        max_length: tokens a text is cut at.
        one_word: whether a filling is one word of the language of a text, by the number of the text.

    Returns: (index of the text, span) -> candidates. Words of one piece that begins a word are not in it: one mask is
        enough for them. Nor are those with an unknown piece, beyond the cut, of too many pieces, or without a filling.
    """
    kinds, longest = kinds_of(tokenizer), longest_input(model, tokenizer, max_length)
    encoded, words = find_pieces(texts, spans, tokenizer=tokenizer, kinds=kinds, longest=longest)
    decoder = Decoder(model, tokenizer, decode_tokens=decode_tokens, precision=precision)
    copies = sorted(together(words, encoded, mask_share=mask_share), key=lambda copy: -len(encoded[copy[0].text]))
    proposes = _Proposes(texts, encoded, kinds, tokenizer, one_word)
    for step in range(max((len(word.masked) for word in words), default=0)):
        extensions = _extensions(decoder, copies, encoded, kinds, step=step, beam=beam)
        for word in words:
            if len(word.masked) > step:
                _keep_best(word, extensions.pop(id(word), []), proposes, beam=beam)
    before_last = _scores_before_last(decoder, copies, encoded)
    found: dict[tuple[int, Span], Ranked] = {}
    for word in words:
        ranked = [
            (proposes.reads(word, filling.ids), filling.last + before_last.get((id(word), number), 0.0))
            for number, filling in enumerate(word.fillings)
        ]
        if ranked:
            found[word.text, word.span] = sorted(ranked, key=lambda candidate: -candidate[1])[:k]
    return found


@lru_cache(maxsize=4)
def kinds_of(tokenizer: PreTrainedTokenizerFast) -> Kinds:
    """The kind and the text of each piece of the vocabulary; pieces with anything but letters are of no kind."""
    size = max(tokenizer.get_vocab().values()) + 1
    tokens = [token or "" for token in tokenizer.convert_ids_to_tokens(list(range(size)))]
    model = tokenizer.backend_tokenizer.model
    if isinstance(model, WordPiece):
        prefix = model.continuing_subword_prefix
        begins = [not token.startswith(prefix) for token in tokens]
        text = [token.removeprefix(prefix) for token in tokens]
    else:  # byte-level BPE marks the start of a word by "Ġ", SentencePiece by "▁"
        begins = [token[:1] in ("Ġ", "▁") for token in tokens]
        text = [piece.strip() for piece in tokenizer.batch_decode([[number] for number in range(size)])]
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    kind = np.full(size, OTHER)
    for number, piece in enumerate(text):
        if number in special or piece[:1] in ("", *"-.'’") or not is_word(f"a{piece}"):
            continue
        ideograph = len(piece) == 1 and "\u3400" <= piece <= "\u9fff"
        kind[number] = IDEOGRAPH if ideograph else BEGINS if begins[number] else CONTINUES
    return Kinds(kind, text)


def find_pieces(
    texts: Sequence[str],
    spans: Sequence[Sequence[Span]],
    *,
    tokenizer: PreTrainedTokenizerFast,
    kinds: Kinds,
    longest: int,
) -> tuple[list[list[int]], list[Word]]:
    """The ids of each text, cut at `longest`, and its words of several pieces."""
    if not texts:
        return [], []
    encoded, words = [], []
    batch = tokenizer(list(texts), return_offsets_mapping=True, verbose=False)
    for index, text in enumerate(texts):
        one = batch.encodings[index]  # pyright: ignore[reportOptionalSubscript] (a fast tokenizer has them)
        cut = len(one.ids) > longest
        ids = [*one.ids[: longest - 1], one.ids[-1]] if cut else one.ids
        encoded.append(ids)
        inner = [place for place in range(len(ids) - cut) if not one.special_tokens_mask[place]]
        # A byte-level token may include the blank before it.
        starts = {one.offsets[i][1] - len(text[slice(*one.offsets[i])].lstrip()): i for i in reversed(inner)}
        ends = {one.offsets[i][1]: i for i in inner}
        for span in spans[index]:
            first, last = starts.get(span[0]), ends.get(span[1])
            if first is None or last is None or last < first:
                continue
            pieces = range(first, last + 1)
            masked = [place for place in pieces if kinds.kind[ids[place]] != OTHER]
            one_begins = len(pieces) == 1 and kinds.kind[ids[first]] != CONTINUES
            if one_begins or not 0 < len(masked) <= MOST_PIECES or tokenizer.unk_token_id in ids[first : last + 1]:
                continue
            words.append(Word(index, span, pieces, masked))
    return encoded, words


def together(words: Sequence[Word], encoded: Sequence[list[int]], *, mask_share: float) -> Iterator[list[Word]]:
    """The words in groups, each of one text, that are masked in the same pass; neighbours are in different groups."""
    for text, found in groupby(words, key=lambda word: word.text):
        of_text = list(found)
        pieces = sum(len(word.masked) for word in of_text)
        room = max(mask_share * len(encoded[text]), 1.0)
        groups = len(of_text) if mask_share == 0 else min(len(of_text), -int(-pieces // room))
        for first in range(groups):
            yield of_text[first::groups]


class _Proposes:
    """How fillings read, and which of them may stand for a word."""

    def __init__(
        self,
        texts: Sequence[str],
        encoded: Sequence[list[int]],
        kinds: Kinds,
        tokenizer: PreTrainedTokenizerFast,
        one_word: Callable[[int, str], bool],
    ) -> None:
        self.texts, self.encoded, self.kinds, self.tokenizer = texts, encoded, kinds, tokenizer
        self.one_word = one_word
        self.cut = lru_cache(maxsize=1 << 18)(self._cut)

    def reads(self, word: Word, ids: Sequence[int]) -> str:
        """The filling as it is put into the text; pieces that were not masked read as they do in the vocabulary."""
        return "".join(self.kinds.text[number] for number in self.whole(word, ids))

    def whole(self, word: Word, ids: Sequence[int]) -> list[int]:
        """The ids of all pieces of the word, filled."""
        new = dict(zip(word.masked, ids, strict=False))
        return [new.get(place, self.encoded[word.text][place]) for place in word.pieces]

    def may_stand(self, word: Word, ids: Sequence[int]) -> bool:
        """Letters only, not the word itself, one word of its language, and cut by the tokenizer as it was filled."""
        old, new = self.texts[word.text][slice(*word.span)], self.reads(word, ids)
        if not is_word(new) or new.casefold() == old.casefold() or not self.one_word(word.text, new):
            return False
        whole = self.whole(word, ids)
        kinds = {int(self.kinds.kind[number]) for number in whole}
        return kinds == {IDEOGRAPH} or self.kinds.kind[whole[0]] == CONTINUES or self.cut(new) == whole

    def _cut(self, word: str) -> list[int]:
        # Behind a blank, as in a text: byte-level pieces that begin a word hold it.
        begin = "" if isinstance(self.tokenizer.backend_tokenizer.model, WordPiece) else " "
        return cast(list[int], self.tokenizer(begin + word, add_special_tokens=False, verbose=False)["input_ids"])


def _filled(copy: Sequence[Word], ids: list[int], *, turn: int, mask: int) -> list[int]:
    """A copy of the ids in which each word holds its filling of this turn, its other pieces masked.

    The turns of the words are shifted against each other, so that the best fillings do not all meet in one row.
    """
    row = list(ids)
    for shift, word in enumerate(copy):
        filling = word.fillings[(turn + shift) % len(word.fillings)].ids if word.fillings else ()
        for number, place in enumerate(word.masked):
            row[place] = filling[number] if number < len(filling) else mask
    return row


def _extensions(
    decoder: Decoder,
    copies: Sequence[Sequence[Word]],
    encoded: Sequence[list[int]],
    kinds: Kinds,
    *,
    step: int,
    beam: int,
) -> dict[int, list[Filling]]:
    """By word (`id`) its fillings with one piece more, each with its score."""

    def rows() -> Iterator[Row]:
        for copy in copies:
            open_words = [word for word in copy if len(word.masked) > step]
            for turn in range(max((len(word.fillings) for word in open_words), default=0)):
                wanted = [
                    Wanted(word, (turn + shift) % len(word.fillings), word.masked[step])
                    for shift, word in enumerate(copy)
                    if len(word.masked) > step and turn < len(word.fillings)
                ]
                yield _filled(copy, encoded[copy[0].text], turn=turn, mask=decoder.mask), wanted

    size = len(kinds.kind)
    of_kind = torch.from_numpy(np.stack([kinds.kind == kind for kind in range(OTHER)])).to(decoder.model.device)
    found: dict[int, list[Filling]] = {}
    for wanted, scores_CV in decoder.decode(rows()):
        own = [int(kinds.kind[encoded[one.word.text][one.position]]) for one in wanted]
        allowed_CV = of_kind[torch.tensor(own, device=scores_CV.device)]
        scores_CN, pieces_CN = (
            scores_CV[:, :size].masked_fill(~allowed_CV, -torch.inf).topk(min(TAKEN * beam, size), dim=-1)
        )
        for one, scores, pieces in zip(wanted, scores_CN.tolist(), pieces_CN.tolist(), strict=True):
            begun = one.word.fillings[one.filling]
            taken = TAKEN * beam if step == len(one.word.masked) - 1 else beam
            found.setdefault(id(one.word), []).extend(
                Filling(begun.score + last, (*begun.ids, piece), last)
                for last, piece in zip(scores[:taken], pieces[:taken], strict=True)
                if last > -np.inf
            )
    return found


def _keep_best(word: Word, extended: list[Filling], proposes: _Proposes, *, beam: int) -> None:
    """Keep the best fillings of a word; those that are whole have to be words."""
    extended.sort(key=lambda filling: (-filling.score, filling.ids))
    may_stay = (
        filling for filling in extended if len(filling.ids) < len(word.masked) or proposes.may_stand(word, filling.ids)
    )
    word.fillings = list(islice(may_stay, beam))


def _scores_before_last(
    decoder: Decoder, copies: Sequence[Sequence[Word]], encoded: Sequence[list[int]]
) -> dict[tuple[int, int], float]:
    """By word (`id`) and filling: the sum of the log-probabilities of its pieces but the last, each masked alone.

    That of the last piece, before which all others stand, is known from the beam.
    """

    def rows() -> Iterator[Row]:
        for copy in copies:
            for number in range(max(len(word.masked) for word in copy) - 1):
                for turn in range(max(len(word.fillings) for word in copy)):
                    row = _filled(copy, encoded[copy[0].text], turn=turn, mask=decoder.mask)
                    wanted = []
                    for shift, word in enumerate(copy):
                        if number < len(word.masked) - 1 and turn < len(word.fillings):
                            wanted.append(Wanted(word, (turn + shift) % len(word.fillings), word.masked[number]))
                            row[word.masked[number]] = decoder.mask
                    yield row, wanted

    found: dict[tuple[int, int], float] = {}
    for wanted, scores_CV in decoder.decode(rows()):
        filled = [one.word.fillings[one.filling].ids[one.word.masked.index(one.position)] for one in wanted]
        scores = scores_CV.gather(1, torch.tensor(filled, device=scores_CV.device)[:, None])[:, 0].tolist()
        for one, score in zip(wanted, scores, strict=True):
            found[id(one.word), one.filling] = found.get((id(one.word), one.filling), 0.0) + score
    return found
