"""Embeddings in training: only those of the pieces that the training reads are parameters.

The others get no gradient. As parameters they would cost all the same: a gradient of zeros, its norm, and AdamW's two
moments, which for a small model and a large vocabulary is a good part of a step.

V vocabulary, D width, P pieces that occur.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding
from transformers import PreTrainedModel

from pipeline.models.fake_quantisation import fake_quantise, fake_quantise_straight_through


class SeenPieces(nn.Module):
    """A table of embeddings, (V, D), of which the rows `seen`, (P,), are the parameter `weight`.

    Args: in_4_bits: whether a pass reads them as they are in 4 bits (`fake_quantisation`).
    """

    def __init__(self, table: nn.Embedding, seen: Tensor, *, in_4_bits: bool = False) -> None:
        super().__init__()
        self.in_4_bits = in_4_bits
        self.weight = nn.Parameter(table.weight.detach()[seen])
        self.padding_idx = table.padding_idx
        self.table = table.weight.detach()  # no buffers, which processes would send each other in every step
        self.row_V = torch.full((len(table.weight),), -1, device=seen.device)
        self.row_V[seen] = torch.arange(len(seen), device=seen.device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "SeenPieces":
        self.table, self.row_V = fn(self.table), fn(self.row_V)
        return super()._apply(fn, recurse)

    def forward(self, ids: Tensor) -> Tensor:
        """(..., D) of any ids; the padding's embedding and those of pieces that are not seen learn nothing."""
        row = self.row_V[ids]
        fixed = row < 0 if self.padding_idx is None else (row < 0) | (ids == self.padding_idx)
        rows = torch.where(fixed[..., None], embedding(ids, self.table), embedding(row.clamp_min(0), self.weight))
        return fake_quantise_straight_through(rows) if self.in_4_bits else rows


@contextmanager
def seen_pieces(model: PreTrainedModel, counts: np.ndarray, *, in_4_bits: bool = False) -> Generator[None]:
    """Meanwhile only the embeddings of pieces that occur are trained; afterwards the model has its table again.

    Args:
        counts: how often each id is read, 0 for those beyond its end (`TokenisedTexts.piece_counts`).
        in_4_bits: whether a pass reads them as they are in 4 bits; afterwards the table is so quantised too.
    """
    table = cast(nn.Embedding, model.get_input_embeddings())
    if not table.weight.requires_grad or model.get_output_embeddings() is not None:  # fixed, or shared with a head
        yield
        return
    seen = torch.from_numpy(np.flatnonzero(counts)).to(table.weight.device)
    part = SeenPieces(table, seen, in_4_bits=in_4_bits)
    model.set_input_embeddings(part)
    try:
        yield
    finally:
        model.set_input_embeddings(table.to(part.weight.device))
        with torch.no_grad():
            table.weight[seen.to(part.weight.device)] = part.weight
            if in_4_bits:
                table.weight.copy_(fake_quantise(table.weight))
