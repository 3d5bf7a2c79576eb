"""Teachers of other architectures answer here as they do in transformers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pipeline.config.data import AnnotateData, Task
from pipeline.errors import UserError
from pipeline.evaluate.inference import predict
from pipeline.evaluate.other_teacher import load_other_teacher
from pipeline.tasks import KINDS
from pipeline.tasks.tokenised import TokenisedTexts
from tests.helpers.one_process import make_stage
from tests.helpers.other_teachers import write_other_teacher

TEXTS = ["the film is good .", "the plot was very bad and the unwatchable ending was dull", "warm"]


def stage_with(folder: Path, teacher: Path, **settings: object):
    stage = make_stage(folder)
    recipe = replace(stage.recipe, task=Task(max_length=24), annotate_data=AnnotateData(**settings))  # type: ignore[arg-type]
    return replace(stage, recipe=recipe, inputs=replace(stage.inputs, other_teacher=teacher))


@pytest.mark.parametrize("kind", ["roberta", "deberta", "modernbert", "gpt2"])
def test_its_answers_are_those_of_transformers_in_the_tasks_order(tmp_path: Path, kind: str) -> None:
    folder = write_other_teacher(tmp_path / "other", TEXTS, labels=["c", "a", "b"], kind=kind)
    stage = stage_with(tmp_path, folder)
    teacher = load_other_teacher(stage, KINDS["classification"], ("a", "b", "c"))
    rows = Dataset.from_dict({"text": TEXTS})
    texts = TokenisedTexts(rows, teacher.tokenizer, text_columns=["text"], max_length=teacher.max_length)
    found = teacher.in_order(predict(teacher.model, texts, stage))
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        wanted = np.concatenate([model(**tokenizer(text, return_tensors="pt")).logits.numpy() for text in TEXTS])
    np.testing.assert_allclose(found, wanted[:, [1, 2, 0]], atol=1e-4)
    assert teacher.max_length == 48


def test_the_recipe_names_outputs_whose_names_are_others(tmp_path: Path) -> None:
    folder = write_other_teacher(tmp_path / "other", TEXTS, labels=["neg", "pos"])
    with pytest.raises(
        UserError, match=r"annotate_data.teacher: the labels of .* are neg, pos, the task's are a, b; list"
    ):
        load_other_teacher(stage_with(tmp_path, folder), KINDS["classification"], ("a", "b"))
    teacher = load_other_teacher(stage_with(tmp_path, folder, labels=("b", "a")), KINDS["classification"], ("a", "b"))
    assert teacher.order == [1, 0]


def test_tags_without_names_that_fit_words_much_better_in_another_order_are_refused(tmp_path: Path) -> None:
    folder = write_other_teacher(tmp_path / "other", TEXTS, labels=[f"LABEL_{n}" for n in range(5)], tags=True)
    names = ("O", "B-loc", "I-loc", "B-per", "I-per")
    teacher = load_other_teacher(stage_with(tmp_path, folder), KINDS["token_classification"], names)
    tags = np.array([0, 0, 1, 2, 0, 3, 4, 0, 1, 3] * 4)
    answers = np.eye(5)[tags]
    teacher.check_order(answers, tags, are_tags=True)
    with pytest.raises(UserError, match=r"set annotate_data.labels: \[O, B-per, I-per, B-loc, I-loc\]"):
        teacher.check_order(answers[:, [0, 3, 4, 1, 2]], tags, are_tags=True)


def test_named_labels_that_are_swapped_are_refused(tmp_path: Path) -> None:
    folder = write_other_teacher(tmp_path / "other", TEXTS, labels=["a", "b"])
    teacher = load_other_teacher(stage_with(tmp_path, folder), KINDS["classification"], ("a", "b"))
    right = np.array([0, 1] * 20)
    teacher.check_order(np.eye(2)[right], right)
    with pytest.raises(UserError, match=r"answer.? as if the labels stood in another order; .*labels: \[b, a\]"):
        teacher.check_order(np.eye(2)[1 - right], right)
