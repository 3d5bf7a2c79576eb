"""A student's word embeddings in the 4 bits that they ship in, while it still learns.

W width. Sources: Bengio et al. 2013 (arXiv:1308.3432), the straight-through gradient; Jacob et al. 2018
(arXiv:1712.05877), section 3, training with rounded weights.
"""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.export.four_bits import LARGEST, pack_rows, unpack_rows


@torch.no_grad()
def round_embeddings(model: PreTrainedModel) -> bool:
    """Round a model's word embeddings to 4 bits. Returns: whether that can be; a table of odd width stays as it is."""
    table = model.get_input_embeddings().weight
    assert isinstance(table, torch.nn.Parameter)
    if table.shape[1] % 2:
        return False
    table.copy_(torch.from_numpy(unpack_rows(*pack_rows(table.detach().float().cpu().numpy()))))
    return True


def rounded(rows: Tensor) -> Tensor:
    """Embeddings, (..., W), with 15 values a row: its largest number is the 7th step. One that is so rounded stays."""
    scales = rows.abs().amax(dim=-1, keepdim=True).clamp_min(1e-30) / LARGEST
    return (rows / scales).round() * scales


def rounded_straight_through(rows: Tensor) -> Tensor:
    """The same; the gradient passes as if nothing was rounded."""
    return rows + (rounded(rows) - rows).detach()
