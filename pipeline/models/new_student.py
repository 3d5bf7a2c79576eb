"""A student with random weights, of the size that the recipe asks for."""

import copy
from collections.abc import Mapping
from typing import Any, cast

from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    MobileBertConfig,
    MobileBertForMaskedLM,
    MobileBertModel,
    PreTrainedConfig,
    PreTrainedModel,
)

from pipeline.config.student import Student
from pipeline.models.architectures import DECODERS, rows_before_text
from pipeline.models.attention import ATTENTION
from pipeline.models.loading import random_language_model, set_dropout

ARCHITECTURES: dict[str, tuple[type[Any], type[Any]]] = {  # of students: the encoder, and with a masked-LM head
    "bert": (BertModel, BertForMaskedLM),
    "mobilebert": (MobileBertModel, MobileBertForMaskedLM),
}


def new_student(
    student: Student, teacher: PreTrainedModel, *, with_lm_head: bool = False, config: PreTrainedConfig | None = None
) -> PreTrainedModel:
    """An encoder of the student's size and architecture, with the teacher's vocabulary and positions.

    The student of a decoder is a decoder of the same architecture.

    Args:
        with_lm_head: with a masked-LM head on it.
        config: of an existing student, to be taken as it is.
    """
    if teacher.config.model_type in DECODERS:
        whole = random_language_model(config or _decoder_config(student, teacher.config))
        return whole if with_lm_head else cast(PreTrainedModel, whole.base_model)
    config = config or _student_config(student, teacher.config.to_dict())
    config._attn_implementation = ATTENTION
    encoder, with_head = ARCHITECTURES[config.model_type]
    return with_head(config) if with_lm_head else encoder(config, add_pooling_layer=False)


def _student_config(student: Student, theirs: Mapping[str, Any]) -> PreTrainedConfig:
    size: dict[str, Any] = {
        "vocab_size": theirs["vocab_size"],
        "hidden_size": student.width,
        "num_hidden_layers": student.layers,
        "num_attention_heads": student.heads,
        "intermediate_size": student.feed_forward,
        "hidden_dropout_prob": student.hidden_dropout,
        "attention_probs_dropout_prob": 0.0,
        "max_position_embeddings": theirs["max_position_embeddings"] - rows_before_text(theirs),
        "type_vocab_size": theirs.get("type_vocab_size") or 2,  # a DeBERTa has 0, but its tokenizer gives 0 and 1
        "pad_token_id": theirs["pad_token_id"],
    }
    if student.architecture == "mobilebert":
        narrow = student.attention_width
        return MobileBertConfig(**size, embedding_size=narrow, intra_bottleneck_size=narrow)
    return BertConfig(**size, hidden_act=theirs.get("hidden_act") or theirs.get("activation", "gelu"))


def _decoder_config(student: Student, theirs: PreTrainedConfig) -> PreTrainedConfig:
    config: Any = copy.deepcopy(theirs)
    config.num_hidden_layers, config.hidden_size = student.layers, student.width
    config.num_attention_heads = student.heads
    if config.model_type == "gpt2":
        config.n_inner = student.feed_forward
    else:
        groups = theirs.num_attention_heads // theirs.num_key_value_heads
        config.intermediate_size, config.head_dim = student.feed_forward, student.width // student.heads
        config.num_key_value_heads = student.key_value_heads or student.heads // groups
    set_dropout(config, student.hidden_dropout)
    return config
