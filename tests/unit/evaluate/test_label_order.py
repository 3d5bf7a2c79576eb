"""A teacher's labels are put in the task's order, and a teacher whose names are wrong is found out."""

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    PreTrainedModel,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from pipeline.config.data import Task
from pipeline.config.training import FinetuneTeacher
from pipeline.errors import UserError
from pipeline.evaluate.inference import predict
from pipeline.evaluate.label_order import better_order, better_tag_order, own_teacher, reorder_outputs
from pipeline.evaluate.scoring import LabelledSplit
from pipeline.models.loading import load_classifier, load_tokenizer, save_model
from pipeline.runtime.stage import Stage
from pipeline.tasks import KINDS
from pipeline.tasks.labelled_data import TaskData
from pipeline.tasks.tokenised import TokenisedTexts
from tests.helpers.one_process import make_stage
from tests.tiny import write_model, write_text

NAMES = ("bad", "fair", "good")
SIZE: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_labels": 3,
}
BUILD: list[Callable[[], PreTrainedModel]] = [
    lambda: BertForSequenceClassification(BertConfig(**SIZE)),
    lambda: RobertaForSequenceClassification(RobertaConfig(**SIZE)),
    lambda: ElectraForSequenceClassification(ElectraConfig(**SIZE)),
    lambda: DistilBertForSequenceClassification(DistilBertConfig(**SIZE)),
]


@pytest.mark.parametrize("build", BUILD)
@torch.no_grad()
def test_reordered_outputs_are_permuted_logits(build: Callable[[], PreTrainedModel]) -> None:
    torch.manual_seed(0)
    model, ids = build().eval(), torch.randint(5, 50, (4, 7))
    before = model(input_ids=ids).logits
    reorder_outputs(model, [2, 0, 1])
    torch.testing.assert_close(model(input_ids=ids).logits, before[:, [2, 0, 1]])


def test_outputs_that_no_last_layer_gives_cannot_be_reordered() -> None:
    with pytest.raises(UserError, match="ends in no layer of 2 labels"):
        reorder_outputs(BUILD[0](), [1, 0])


def logits_for(found: list[int], classes: int) -> np.ndarray:
    return np.eye(classes)[found]


def test_an_order_that_is_right_more_often_than_chance_stands() -> None:
    assert better_order(logits_for([0, 1, 2, 0], 3), np.array([0, 1, 1, 2])) is None


def test_below_chance_the_order_that_fits_best_is_found() -> None:
    found = [0, 1, 2, 0, 1, 2] * 4
    labels = np.array([1, 2, 0, 1, 2, 2] * 4)
    assert better_order(logits_for(found, 3), labels) == [1, 2, 0]


def test_a_teacher_that_only_guesses_has_no_better_order() -> None:
    generator = np.random.default_rng(0)
    guesses = [generator.integers(0, 3, (2, 200)) for _ in range(100)]
    assert sum(better_order(logits_for(found, 3), labels) is not None for found, labels in guesses) <= 4


@pytest.mark.parametrize("seed", range(5))
def test_no_other_order_is_right_more_often(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 5, 60)
    found = np.where(generator.random(60) < 0.6, (labels + 2) % 5, generator.integers(0, 5, 60))
    order = better_order(logits_for(found.tolist(), 5), labels)
    assert order is not None
    right = [int((np.array(other)[found] == labels).sum()) for other in permutations(range(5))]
    assert (np.array(order)[found] == labels).sum() == max(right)


def test_the_order_of_many_labels_is_found_too() -> None:
    labels = np.arange(20).repeat(3)
    assert better_order(logits_for(((labels + 1) % 20).tolist(), 20), labels) == [19, *range(19)]
    assert better_order(logits_for(labels.tolist(), 20), labels) is None


TASK = TaskData(
    name="tiny",
    kind=KINDS["classification"],
    text_columns=("text",),
    label_column="label",
    label_names=NAMES,
    metric="accuracy",
    splits={},
    left_out={},
)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TokenisedTexts, np.ndarray]:
    """A classifier that names its outputs fair, good, bad; some texts, and its logits."""
    source, folder = (tmp_path_factory.mktemp(name) for name in ("source", "teacher"))
    write_model(source)
    text = write_text(source / "text.txt", lines=30).read_text(encoding="utf-8")
    dataset = Dataset.from_dict({"text": text.split("\n\n")})
    texts = TokenisedTexts(dataset, load_tokenizer(source), text_columns=["text"], max_length=32)
    torch.manual_seed(0)
    model = load_classifier(source, label_names=("fair", "good", "bad"), new_head=True).eval()
    with torch.no_grad():  # each class is the clear answer of some texts
        for parameter in model.parameters():
            parameter.mul_(8 if parameter.ndim == 2 else 1)
        logits = predict(model, texts, make_stage(folder))
        model.get_parameter("classifier.bias").sub_(torch.from_numpy(logits.mean(axis=0)))
    save_model(model, folder, tokenizer_of=source)
    return folder, texts, logits - logits.mean(axis=0)


def stage_with(folder: Path, labels: tuple[str, ...] = ()) -> Stage:
    stage = make_stage(folder)
    return replace(stage, recipe=replace(stage.recipe, finetune_teacher=FinetuneTeacher(labels=labels)))


def dev_of(texts: TokenisedTexts, logits: np.ndarray, names: tuple[str, ...]) -> LabelledSplit:
    """Rows that a teacher with these names of its outputs is right on."""
    references = np.array([NAMES.index(names[number]) for number in logits.argmax(axis=1)])
    return LabelledSplit(task=TASK, dataset=texts.rows, texts=texts, references=references, settings=Task())


def test_a_teacher_with_its_own_order_answers_in_the_task_s(
    teacher: tuple[Path, TokenisedTexts, np.ndarray], tmp_path: Path
) -> None:
    folder, texts, logits = teacher
    stage = stage_with(tmp_path)
    model = own_teacher(stage, folder, dev_of(texts, logits, ("fair", "good", "bad")))
    np.testing.assert_allclose(predict(model, texts, stage), logits[:, [2, 0, 1]], rtol=1e-4, atol=1e-5)
    assert model.config.id2label == dict(enumerate(NAMES))


def test_wrong_names_are_found_out_and_the_labels_proposed_are_right(
    teacher: tuple[Path, TokenisedTexts, np.ndarray], tmp_path: Path
) -> None:
    folder, texts, logits = teacher
    truth = ("good", "bad", "fair")
    dev = dev_of(texts, logits, truth)
    with pytest.raises(UserError, match="as if the labels stood in another order") as caught:
        own_teacher(stage_with(tmp_path), folder, dev)
    proposed = re.search(r"set finetune_teacher.labels: \[(.*)\]", str(caught.value))
    assert proposed is not None and tuple(proposed[1].split(", ")) == truth
    stage = stage_with(tmp_path, truth)
    model = own_teacher(stage, folder, dev)
    assert (predict(model, texts, stage).argmax(axis=1) == dev.references).all()


def test_without_names_two_labels_that_are_swapped_are_found_among_others() -> None:
    labels = np.arange(4).repeat(12)
    found = np.array([1, 0, 2, 3])[labels]
    assert better_order(logits_for(found.tolist(), 4), labels) is None  # half of the rows are right: names are believed
    assert better_order(logits_for(found.tolist(), 4), labels, unnamed=True) == [1, 0, 2, 3]
    assert better_order(logits_for(labels.tolist(), 4), labels, unnamed=True) is None


TAGS = np.array([0] * 60 + [1, 2] * 10 + [3, 4] * 8 + [5, 6] * 6)  # O, then B- and I- of three types


@pytest.mark.parametrize(
    "order",
    [
        [0, 5, 6, 1, 2, 3, 4],  # the types in another order
        [0, 1, 3, 5, 2, 4, 6],  # all B-, then all I-
        [0, 2, 1, 6, 5, 4, 3],  # I- before B-
        [5, 6, 3, 4, 1, 2, 0],  # O last
        [5, 3, 1, 6, 4, 2, 0],
        [3, 0, 6, 1, 4, 5, 2],  # none of the usual
    ],
)
def test_tags_in_another_order_are_found(order: list[int]) -> None:
    found = np.argsort(order)[TAGS]
    assert better_tag_order(logits_for(found.tolist(), 7), TAGS) == order


def test_tags_that_hardly_occur_go_with_their_types() -> None:
    tags = np.array([0] * 60 + [1] * 10 + [3, 4] * 8 + [5] * 10)  # no I- of the first and the last type
    order = [0, 5, 6, 3, 4, 1, 2]
    assert better_tag_order(logits_for(np.argsort(order)[tags].tolist(), 7), tags) == order


def test_a_tagger_that_errs_now_and_then_keeps_its_order() -> None:
    generator = np.random.default_rng(0)
    for share in (0.0, 0.2, 0.5, 0.9):
        found = np.where(generator.random(len(TAGS)) < share, generator.integers(0, 7, len(TAGS)), TAGS)
        assert better_tag_order(logits_for(found.tolist(), 7), TAGS) is None
