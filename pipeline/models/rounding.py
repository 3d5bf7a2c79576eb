"""A student's word embeddings on the grid of 4 bits that they ship in."""

import torch
from transformers import PreTrainedModel

from pipeline.export.four_bits import pack_rows, unpack_rows


@torch.no_grad()
def round_embeddings(model: PreTrainedModel) -> bool:
    """Round a model's word embeddings to 4 bits, and train them no more: all else learns with what ships.

    Returns: whether they could be; a table of odd width stays as it is.
    """
    table = model.get_input_embeddings().weight
    assert isinstance(table, torch.nn.Parameter)
    if table.shape[1] % 2:
        return False
    rounded = unpack_rows(*pack_rows(table.detach().float().cpu().numpy()))
    table.copy_(torch.from_numpy(rounded))
    table.requires_grad_(False)
    return True
