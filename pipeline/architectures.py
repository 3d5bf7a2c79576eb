"""What the pipeline knows about the inside of transformers' encoders."""

from typing import Any

from torch import nn
from transformers import PreTrainedModel

# Global attention through the attention interface, and positions that are added to the embeddings.
PACKABLE = frozenset({"bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta"})


def encoder_layers(model: PreTrainedModel) -> nn.Module:
    """The transformer layers: no embeddings, no pooler, no head."""
    trunk = model.base_model
    return next(getattr(trunk, name) for name in ("encoder", "transformer", "layers") if hasattr(trunk, name))


def first_position(model: PreTrainedModel) -> int:
    """The position id of a text's first token: RoBERTa and its kin count from the one after the padding's."""
    embeddings: Any = model.base_model.embeddings
    return embeddings.padding_idx + 1 if hasattr(embeddings, "create_position_ids_from_input_ids") else 0
