"""A masked LM at work on many rows of token ids: batches, precision, and logits at the wanted positions alone.

R rows, C wanted positions, T tokens, V vocabulary.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from pipeline.hardware import round_up
from pipeline.models.loading import separate_head

TOKEN_ROUND = 8  # a row's length is a multiple of it, which matrix units like
HEAD_POSITIONS = 512  # positions that go through the head at once: bounds the (C, V) logits


class HasPosition(Protocol):
    """Whatever a caller wants a prediction for: it knows its position in its row."""

    @property
    def position(self) -> int: ...


Position = TypeVar("Position", bound=HasPosition)


class MaskedRow(NamedTuple, Generic[Position]):
    """Token ids, masks among them; what is wanted of them; their segments, where the model tells segments apart."""

    ids: list[int]
    wanted: Sequence[Position]
    segments: list[int] | None = None


class MaskPredictor:
    """A masked LM and its tokenizer.

    Args:
        decode_tokens: tokens that go through the encoder at once.
        count_padding: whether the padding to a multiple of TOKEN_ROUND counts among these.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        *,
        decode_tokens: int,
        precision: Literal["bf16", "fp32"],
        count_padding: bool = True,
    ) -> None:
        self.model, self.head = model.eval(), separate_head(model)
        self.mask, self.padding = cast(int, tokenizer.mask_token_id), cast(int, tokenizer.pad_token_id or 0)
        self.decode_tokens, self.precision, self.count_padding = decode_tokens, precision, count_padding

    def predict(self, rows: Iterable[MaskedRow[Position]], keep: Callable[[Sequence[Position], Tensor], None]) -> None:
        """Call `keep` with the wanted positions, at most HEAD_POSITIONS at a time, and their logits (C, V), float32.

        The logits are gone afterwards: `keep` takes the best of them. Rows of which nothing is wanted are left out;
        rows of equal lengths should follow each other, the longest first.
        """
        device = self.model.device.type
        # One autocast context over all batches: it casts each weight once.
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=self.precision == "bf16"):
            for batch in self._batches(rows):
                wanted = [one for row in batch for one in row.wanted]
                states = self._states(batch)
                for first in range(0, len(wanted), HEAD_POSITIONS):
                    part = states[first : first + HEAD_POSITIONS]
                    logits_CV = self.head(part) if self.head else part
                    keep(wanted[first : first + HEAD_POSITIONS], logits_CV.float())

    def _batches(self, rows: Iterable[MaskedRow[Position]]) -> Iterator[list[MaskedRow[Position]]]:
        """Consecutive rows of at most `decode_tokens` tokens together, each as long as the longest."""
        batch: list[MaskedRow[Position]] = []
        longest = 0
        for row in rows:
            length = round_up(len(row.ids), TOKEN_ROUND) if self.count_padding else len(row.ids)
            longest = max(longest, length)
            if batch and longest * (len(batch) + 1) > self.decode_tokens:
                yield batch
                batch, longest = [], length
            if row.wanted:
                batch.append(row)
        if batch:
            yield batch

    def _states(self, batch: Sequence[MaskedRow[Position]]) -> Tensor:
        """What the head makes logits of at the wanted positions (C, D); without a separate head the logits (C, V)."""
        length, device = round_up(max(len(row.ids) for row in batch), TOKEN_ROUND), self.model.device

        def padded(values: Iterable[list[int]], filler: int) -> Tensor:
            return torch.tensor([each + [filler] * (length - len(each)) for each in values], device=device)

        inputs_RT = {
            "input_ids": padded((row.ids for row in batch), self.padding),
            "attention_mask": padded(([1] * len(row.ids) for row in batch), 0),
        }
        if batch[0].segments is not None:
            inputs_RT["token_type_ids"] = padded((row.segments or [] for row in batch), 0)
        numbers = [number for number, row in enumerate(batch) for _ in row.wanted]
        positions = [one.position for row in batch for one in row.wanted]
        at = torch.tensor(numbers, device=device), torch.tensor(positions, device=device)
        if self.head is None:  # the logits of all positions are made, and most of them thrown away
            return self.model(**inputs_RT).logits[at]
        return self.model.base_model(**inputs_RT).last_hidden_state[at]
