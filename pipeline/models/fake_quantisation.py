"""Fake quantisation: a student learns with its word embeddings in the 4 bits that they ship in.

W width. Sources: Jacob et al. 2018 (arXiv:1712.05877), section 3, training with quantised weights; Bengio et al. 2013
(arXiv:1308.3432), the straight-through estimator.
"""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.export.four_bits import LARGEST, pack_rows, unpack_rows


@torch.no_grad()
def fake_quantise_embeddings(model: PreTrainedModel) -> bool:
    """Replace a model's word embeddings by what is left of them in 4 bits, with the best scales (`four_bits`).

    Returns: whether 4 bits can hold the table; one of odd width stays as it is.
    """
    table = model.get_input_embeddings().weight
    assert isinstance(table, torch.nn.Parameter)
    if table.shape[1] % 2:
        return False
    table.copy_(torch.from_numpy(unpack_rows(*pack_rows(table.detach().float().cpu().numpy()))))
    return True


def fake_quantise(rows: Tensor) -> Tensor:
    """Symmetric quantisation of rows (..., W) to 4 bits, and back to floats: scale * round(row / scale).

    Each row has one scale, max|row| / 7, so its values become multiples of the scale from -7 to 7. Idempotent, up to
    the last bit: a row that was quantised keeps its largest number, and so its scale.
    """
    scales = rows.abs().amax(dim=-1, keepdim=True).clamp_min(1e-30) / LARGEST
    return (rows / scales).round() * scales


def fake_quantise_straight_through(rows: Tensor) -> Tensor:
    """`fake_quantise` with the straight-through estimator: its gradient is taken to be that of the identity."""
    return rows + (fake_quantise(rows) - rows).detach()
