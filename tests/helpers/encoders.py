"""Encoders without a head."""

from pathlib import Path
from typing import Any, cast

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    BertConfig,
    BertModel,
    CamembertConfig,
    CamembertModel,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    PreTrainedModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from pipeline.models.loading import load_language_model

SIZE: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 32,
}
LIKE_BERT: dict[str, tuple[Any, Any]] = {  # small teachers that a student can start from
    "bert": (BertModel, BertConfig(**SIZE)),
    "roberta": (RobertaModel, RobertaConfig(**SIZE, pad_token_id=1)),
    "xlm-roberta": (XLMRobertaModel, XLMRobertaConfig(**SIZE, pad_token_id=1)),
    "camembert": (CamembertModel, CamembertConfig(**SIZE, pad_token_id=1)),
    "electra": (ElectraModel, ElectraConfig(**SIZE, embedding_size=24)),
    "distilbert": (DistilBertModel, DistilBertConfig(**SIZE, hidden_dim=40)),
}


def write_encoder(folder: Path, kind: str) -> Path:
    """A folder of an encoder with random weights, without a tokenizer. Args: kind: its `model_type`."""
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model(kind, **SIZE)).save_pretrained(folder)
    return folder


def load_encoder(folder: Path) -> PreTrainedModel:
    """The encoder of a saved model. Raises: UserError when some of its weights are missing."""
    return cast(PreTrainedModel, load_language_model(folder, new_head=True).base_model)
