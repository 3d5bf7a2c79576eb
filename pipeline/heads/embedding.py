"""An encoder that gives a text one vector."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from pipeline.models.collate import Bucket, Inputs
from pipeline.models.packing import run


class SentenceEncoder(PreTrainedModel):
    """Hidden states averaged over a text's tokens, projected where there is a projection, and scaled to length 1.

    B batch, T tokens, D width of the encoder, E width of the embedding.
    """

    base_model_prefix = "encoder"
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, encoder: PreTrainedModel, projection: nn.Linear | None) -> None:
        super().__init__(encoder.config)
        self.encoder = encoder
        self.project(projection)

    def project(self, projection: nn.Linear | None) -> None:
        """Take a projection; E is noted in the config, which what has no weights (an ONNX file) has too."""
        self.projection = projection
        self.config.sentence_width = projection.out_features if projection is not None else self.config.hidden_size

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        buckets: tuple[Bucket, ...] | None = None,
        places: Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Embeddings (B, E), where a classifier has its logits; of inputs as `packing.run` takes them."""
        inputs: Inputs = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "buckets": buckets,
            "places": places,
        }
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        states_BTD = run(self.encoder, inputs).last_hidden_state
        real_BT1 = attention_mask[..., None]
        mean_BD = (states_BTD * real_BT1).sum(dim=1) / real_BT1.sum(dim=1)
        vectors_BE = self.projection(mean_BD) if self.projection is not None else mean_BD
        return SequenceClassifierOutput(logits=normalize(vectors_BE.float(), dim=-1))  # pyright: ignore[reportArgumentType]


def new_projection(weight_ED: Tensor) -> nn.Linear:
    """A projection without bias of these weights."""
    width, narrow = weight_ED.shape
    projection = nn.Linear(narrow, width, bias=False)
    with torch.no_grad():
        projection.weight.copy_(weight_ED)
    return projection
