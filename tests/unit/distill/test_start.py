"""How a student starts from the teacher of its task."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertModel,
    DistilBertConfig,
    ElectraConfig,
    PreTrainedConfig,
    RobertaConfig,
)

from pipeline.config.student import Student
from pipeline.distill.start import fit_on_logits, fit_student, head_can_be_copied
from pipeline.heads.base import output_layer
from pipeline.heads.regression import make_exact
from pipeline.models.collate import Batch, Rows
from pipeline.models.new_student import new_student
from pipeline.models.student_init import copy_head
from pipeline.tasks import KINDS
from tests.helpers.one_process import make_stage

SIZE: dict[str, Any] = {
    "vocab_size": 9,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "num_labels": 1,
}


@pytest.mark.parametrize(
    ("config", "last", "all_of_it"),
    [
        (BertConfig(**SIZE), True, True),
        (DistilBertConfig(**SIZE), True, False),
        (RobertaConfig(**SIZE), False, False),
        (ElectraConfig(**SIZE), False, False),
    ],
    ids=["bert", "distilbert", "roberta", "electra"],
)
def test_a_student_knows_whether_its_head_is_the_teacher_s(
    tmp_path: Path, config: PreTrainedConfig, last: bool, all_of_it: bool
) -> None:
    teacher = AutoModelForSequenceClassification.from_config(config)
    student = AutoModelForSequenceClassification.from_config(BertConfig(**SIZE))
    teacher.save_pretrained(tmp_path)
    with torch.no_grad():
        output_layer(teacher).bias.fill_(100)
        copy_head(student, teacher)
    make_exact(student)
    assert (output_layer(student).bias.item() == 100) == last
    assert head_can_be_copied(student, tmp_path) == all_of_it  # a DistilBERT has no pooler


@pytest.mark.parametrize(("kind", "copied"), [(BertConfig, True), (RobertaConfig, False)])
def test_a_head_that_could_not_be_copied_is_fitted_as_a_new_one(
    tmp_path: Path, kind: type[PreTrainedConfig], copied: bool
) -> None:
    student = AutoModelForSequenceClassification.from_config(BertConfig(**SIZE))
    AutoModelForSequenceClassification.from_config(kind(**SIZE)).save_pretrained(tmp_path)
    stage = make_stage(tmp_path)
    settings = replace(stage.recipe.student, start="fitted", start_from="task_teacher")
    stage = replace(stage, recipe=replace(stage.recipe, student=settings), upstream={"finetune_teacher": tmp_path})
    texts: Any = SimpleNamespace(texts=SimpleNamespace(lengths=np.full(40, 4), kind=KINDS["regression"]))
    ids, scores = torch.randint(1, 9, (40, 4)), torch.randn(40, 1)

    def collate(rows: Rows, _: int) -> Batch:
        mask = torch.ones_like(ids[rows])
        return Batch(input_ids=ids[rows], attention_mask=mask, targets={"teacher_outputs": scores[rows]})

    before = student.bert.pooler.dense.weight.clone()
    fit_on_logits(stage, texts, student, collate)
    assert torch.equal(student.bert.pooler.dense.weight, before) == copied  # of a new head it is set too


@pytest.mark.parametrize("length", [7, 8])
def test_a_fit_on_fewer_tokens_than_the_student_is_wide_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], length: int
) -> None:
    stage, teacher = make_stage(tmp_path), BertModel(BertConfig(**SIZE)).eval()
    settings = Student(layers=1, width=8, feed_forward=8, heads=2, start="fitted")
    stage = replace(stage, recipe=replace(stage.recipe, student=settings))
    ids = np.arange(length) % 9

    def columns(rows: Rows) -> dict[str, Any]:
        return {"input_ids": [ids for _ in rows]}

    student = new_student(settings, teacher)
    fit_student(stage, student, teacher, columns=columns, lengths=np.array([length]), pad_id=0)
    said = capsys.readouterr().err
    assert ("fewer tokens than the student's width of 8: the fit will be rough" in said) == (length < 8)
    assert all(torch.isfinite(parameter).all() for parameter in student.parameters())
