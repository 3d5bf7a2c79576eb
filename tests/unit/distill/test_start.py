"""How a student starts from the teacher of its task."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    PreTrainedConfig,
    RobertaConfig,
)

from pipeline.distill.start import has_copied_head
from pipeline.heads.base import output_layer
from pipeline.heads.regression import make_exact
from pipeline.models.student_init import copy_head

SIZE: dict[str, Any] = {
    "vocab_size": 9,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "num_labels": 1,
}


@pytest.mark.parametrize(
    ("config", "copied"),
    [
        (BertConfig(**SIZE), True),
        (DistilBertConfig(**SIZE), True),
        (RobertaConfig(**SIZE), False),
        (ElectraConfig(**SIZE), False),
    ],
    ids=["bert", "distilbert", "roberta", "electra"],
)
def test_a_student_knows_whether_its_last_layer_is_the_teacher_s(
    tmp_path: Path, config: PreTrainedConfig, copied: bool
) -> None:
    teacher = AutoModelForSequenceClassification.from_config(config)
    student = AutoModelForSequenceClassification.from_config(BertConfig(**SIZE))
    teacher.save_pretrained(tmp_path)
    with torch.no_grad():
        output_layer(teacher).bias.fill_(100)
        copy_head(student, teacher)
    make_exact(student)
    assert (output_layer(student).bias.item() == 100) == copied
    assert has_copied_head(student, tmp_path) == copied
