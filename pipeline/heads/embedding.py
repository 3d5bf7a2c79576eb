"""A vector for each text: semantic search. Models are saved as sentence-transformers does.

The student learns the teacher's vectors; one of another width through a projection that ships with it, or by the
similarities between the texts of a batch.
"""

import json
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from pipeline.config.distillation import DistillPredictions
from pipeline.config.student import Student
from pipeline.heads.base import Head
from pipeline.losses.tinybert import regression_loss, similarity_loss
from pipeline.models.attention import ATTENTION
from pipeline.models.collate import Batch
from pipeline.models.loading import load_language_model, save_model
from pipeline.models.packing import Packing
from pipeline.models.trace import forward

POOLING, DENSE, NORMALIZE = "1_Pooling", "2_Dense", "3_Normalize"  # folders, as sentence-transformers names them


class EmbeddingHead(Head):
    """A vector of length 1 (B, E): the mean over a text's tokens, projected where the model has a projection."""

    def load(
        self, folder: Path, *, hidden_dropout: float = 0.0, attention: str = ATTENTION, **_: Any
    ) -> PreTrainedModel:
        """An encoder whose logits are embeddings, with the projection that was saved beside it; it has no labels."""
        masked_lm = load_language_model(folder, new_head=True, hidden_dropout=hidden_dropout, attention=attention)
        weights = folder / DENSE / "model.safetensors"
        projection = new_projection(load_file(weights)["linear.weight"]) if weights.is_file() else None
        return SentenceEncoder(cast(PreTrainedModel, masked_lm.base_model), projection)

    def save(self, model: PreTrainedModel, folder: Path, *, tokenizer_of: Path) -> None:
        """The encoder as transformers loads it, and what sentence-transformers needs beside it."""
        assert isinstance(model, SentenceEncoder)
        save_model(model.encoder, folder, tokenizer_of=tokenizer_of)
        width, parts = model.encoder.config.hidden_size, [("", "Transformer"), (POOLING, "Pooling")]
        _write(folder / POOLING / "config.json", {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True})
        if model.projection is not None:
            parts.append((DENSE, "Dense"))
            weight = model.projection.weight.detach().cpu().contiguous()
            settings = {"in_features": weight.shape[1], "out_features": weight.shape[0], "bias": False}
            settings |= {"activation_function": "torch.nn.modules.linear.Identity"}
            _write(folder / DENSE / "config.json", settings)
            save_file({"linear.weight": weight}, folder / DENSE / "model.safetensors")
        parts.append((NORMALIZE, "Normalize"))
        modules = [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{name}"}
            for number, (path, name) in enumerate(parts)
        ]
        _write(folder / "modules.json", modules)
        _write(folder / "sentence_bert_config.json", {"max_seq_length": None, "do_lower_case": False})
        _write(folder / "config_sentence_transformers.json", {"similarity_fn_name": "cosine"})

    def width(self, model: PreTrainedModel) -> int:
        """E."""
        return model.config.sentence_width

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """(B, E). A packed batch goes in whole, since it is the encoder that takes it so."""
        inputs: dict[str, Any] = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        if batch.token_type_ids is not None:
            inputs["token_type_ids"] = batch.token_type_ids
        if batch.packing is not None:
            inputs["packing"] = batch.packing
        return model(**inputs).logits

    def last_layer(self, model: PreTrainedModel) -> nn.Linear | None:
        """The projection, where there is one."""
        assert isinstance(model, SentenceEncoder)
        return model.projection

    def init_from_projection(
        self, student: PreTrainedModel, projection: nn.Linear, settings: Student, *, teacher: Path | None = None
    ) -> None:
        """The last layer's projection becomes the student's: both are linear, and so is the mean over tokens.

        Args: teacher: the folder of one whose own projection comes after it.
        """
        assert isinstance(student, SentenceEncoder)
        weight = projection.weight.detach()
        weights = teacher / DENSE / "model.safetensors" if teacher else None
        if weights and weights.is_file():
            weight = load_file(weights)["linear.weight"].to(weight.device) @ weight
        if settings.project_embedding and len(weight) != projection.in_features:
            student.project(new_projection(weight))

    def set_width(self, model: PreTrainedModel, width: int) -> bool:
        """A projection to vectors of this width, where the encoder has another."""
        assert isinstance(model, SentenceEncoder)
        if width == self.width(model):
            return False
        model.project(new_projection(torch.zeros(width, model.config.hidden_size)))
        return True

    def supervised_loss(
        self, outputs: Tensor, batch: Batch, *, weight: int, class_weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Squared distance to given vectors; without them no terms, for embeddings have no labels to learn."""
        if "soft" not in batch.targets:
            return {}
        return {"vector": regression_loss(outputs, batch.targets["soft"], examples=weight)}

    def distillation_loss(
        self, student: Tensor, teacher: Tensor, batch: Batch, *, weight: int, settings: DistillPredictions
    ) -> Tensor:
        """Squared distance of the embeddings, or of another width squared gap of the similarities in the batch."""
        if student.shape == teacher.shape:
            return regression_loss(student, teacher, examples=weight)
        return similarity_loss(student, teacher, examples=weight)


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
        packing: Packing | None = None,
    ) -> SequenceClassifierOutput:
        """Embeddings (B, E), where a classifier has its logits, of a batch's tensors (B, T)."""
        batch = Batch(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids, packing=packing
        )
        states_BTD = forward(self.encoder, batch).last_hidden_state
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


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
