"""A student of the size asked for, with the teacher's vocabulary and positions."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import DebertaV2Config, DebertaV2Model, DistilBertConfig, DistilBertModel, PreTrainedModel

from pipeline.config.student import Student
from pipeline.models.new_student import new_student
from pipeline.models.student_init import copy_embeddings, embedding_tables
from tests.helpers.encoders import load_encoder
from tests.tiny import write_model

SIZE: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
SMALL = Student(layers=1, width=16, feed_forward=20, heads=2, hidden_dropout=0.2)


def test_a_new_student_has_its_own_size_and_the_teacher_s_vocabulary(tmp_path: Path) -> None:
    teacher = load_encoder(write_model(tmp_path))
    config = new_student(SMALL, teacher).config
    assert (config.num_hidden_layers, config.hidden_size, config.intermediate_size) == (1, 16, 20)
    assert (config.num_attention_heads, config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (2, 0.2, 0)
    for name in ("vocab_size", "max_position_embeddings", "type_vocab_size", "pad_token_id"):
        assert getattr(config, name) == getattr(teacher.config, name)


def test_a_student_has_its_teacher_s_activation(tmp_path: Path) -> None:
    teacher = load_encoder(write_model(tmp_path))
    teacher.config.hidden_act = "relu"
    assert new_student(SMALL, teacher).config.hidden_act == "relu"


@pytest.mark.parametrize(
    "teacher",
    [
        DistilBertModel(DistilBertConfig(vocab_size=50, dim=16, n_layers=1, n_heads=2, hidden_dim=16)),
        DebertaV2Model(DebertaV2Config(**SIZE)),
    ],
    ids=["distilbert", "deberta-v2"],
)
def test_a_student_of_a_teacher_without_token_types_has_some(teacher: PreTrainedModel) -> None:
    student = new_student(SMALL, teacher)
    assert student.config.type_vocab_size == 2
    copy_embeddings(student, teacher)
    assert not embedding_tables(student)["token_type_embeddings"].any()  # it adds nothing, as in the teacher
    pair = {"input_ids": torch.tensor([[1, 2, 3]]), "token_type_ids": torch.tensor([[0, 0, 1]])}
    assert student(**pair).last_hidden_state.shape == (1, 3, SMALL.width)
