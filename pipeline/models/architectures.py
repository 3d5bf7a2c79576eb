"""What the plan has to know about architectures, by `model_type` (transformers 5.23). No torch."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.config.student import Student

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

# Not built on transformers' attention interface: hidden states and predictions can be copied, attention cannot.
WITHOUT_QUERIES = (
    "big_bird",
    "convbert",
    "deberta",
    "deberta-v2",
    "longformer",
    "megatron-bert",
    "mpnet",
    "rembert",
    "roformer",
    "squeezebert",
)
# Global attention through that interface, and positions that are added to the embeddings.
PACKABLE = frozenset({"bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta"})
# Causal language models, with causal attention through that interface over whole texts, padded on the right.
DECODERS = ("gpt2", "llama")
# The first token of a text has the position after the padding token's number.
_POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "roberta-prelayernorm", "mpnet")
# Architectures from whose weights a BERT can be initialised, with the names that differ.
LIKE_BERT: Mapping[str, Mapping[str, str]] = {
    **{kind: {} for kind in ("bert", "roberta", "xlm-roberta", "camembert", "electra")},
    "distilbert": {
        "encoder.layer.": "transformer.layer.",
        "attention.self.query": "attention.q_lin",
        "attention.self.key": "attention.k_lin",
        "attention.self.value": "attention.v_lin",
        "attention.output.dense": "attention.out_lin",
        "attention.output.LayerNorm": "sa_layer_norm",
        "intermediate.dense": "ffn.lin1",
        "output.dense": "ffn.lin2",
        "output.LayerNorm": "output_layer_norm",
    },
}


def start_of(student: Student, teacher_type: str) -> str:
    """How a student's weights are initialised, `student.start` being resolved."""
    return student.start or ("fitted" if student.may_be_fitted and teacher_type in LIKE_BERT else "random")


def rows_before_text(config: Mapping[str, Any]) -> int:
    """Rows of the table of positions that no text reads."""
    after_padding = config.get("model_type") in _POSITIONS_AFTER_PADDING
    return int(config.get("pad_token_id") or 0) + 1 if after_padding else 0


def encoder_layers(model: "PreTrainedModel") -> "nn.Module":
    """The transformer layers: no embeddings, no pooler, no head."""
    trunk = model.base_model
    return next(getattr(trunk, name) for name in ("encoder", "transformer", "layers", "h") if hasattr(trunk, name))
