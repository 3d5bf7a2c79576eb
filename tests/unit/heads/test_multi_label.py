"""Losses of several labels a text against slow loops."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.config.distillation import DistillPredictions
from pipeline.heads import HEADS
from pipeline.losses.tinybert import binary_label_loss, binary_prediction_loss
from pipeline.models.collate import Batch
from tests.helpers.encoders import write_encoder
from tests.tiny import write_model

HEAD = HEADS["multi_label"]
STUDENT = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
TEACHER = 3 * torch.randn(4, 3, generator=torch.Generator().manual_seed(1))


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def slow(student: Tensor, probabilities: Tensor, temperature: float = 1.0) -> float:
    total = 0.0
    for ours, theirs in zip(student.flatten().tolist(), probabilities.flatten().tolist(), strict=True):
        probability = sigmoid(ours / temperature)
        total -= theirs * math.log(probability) + (1 - theirs) * math.log(1 - probability)
    return temperature**2 * total / student.numel()


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_soft_targets_are_binary_cross_entropy_at_the_temperature(temperature: float) -> None:
    targets = torch.tensor([[sigmoid(value / temperature) for value in row] for row in TEACHER.tolist()])
    found = binary_prediction_loss(STUDENT, TEACHER, temperature=temperature)
    assert found.item() == pytest.approx(slow(STUDENT, targets, temperature), rel=1e-5)


def test_labels_are_binary_cross_entropy_over_the_global_batch() -> None:
    labels = (TEACHER > 0).float()
    parts = sum(binary_label_loss(STUDENT[rows], labels[rows], examples=4) for rows in (slice(0, 1), slice(1, 4)))
    assert float(parts) == pytest.approx(slow(STUDENT, labels), rel=1e-5)


def test_the_heads_losses_are_these() -> None:
    batch = Batch(
        input_ids=torch.ones(4, 2), attention_mask=torch.ones(4, 2), targets=HEAD.targets({"labels": [[1, 0, 1]] * 4})
    )
    assert batch.targets["labels"].tolist() == [[1.0, 0.0, 1.0]] * 4
    found = HEAD.supervised_loss(STUDENT, batch, weight=4)["label"]
    assert found.item() == pytest.approx(slow(STUDENT, batch.targets["labels"]), rel=1e-5)
    soft = HEAD.distillation_loss(STUDENT, TEACHER, batch, weight=4, settings=DistillPredictions(temperature=2.0))
    assert soft.item() == pytest.approx(binary_prediction_loss(STUDENT, TEACHER, temperature=2.0).item())


def test_config_json_says_that_labels_do_not_exclude_each_other(tmp_path: Path) -> None:
    model = HEAD.load(write_model(tmp_path), label_names=("a", "b", "c"), new_head=True)
    assert model.config.problem_type == "multi_label_classification" and model.config.num_labels == 3


def test_rows_that_have_a_label_weigh_what_it_weighs() -> None:
    labels, weights = (TEACHER > 0).float(), torch.tensor([3.0, 1.0, 0.5])
    total = 0.0
    for row in range(4):
        for label, weight in enumerate(weights.tolist()):
            probability = sigmoid(STUDENT[row, label].item())
            total -= weight * math.log(probability) if labels[row, label] else math.log(1 - probability)
    found = binary_label_loss(STUDENT, labels, class_weights=weights)
    assert found.item() == pytest.approx(total / 12, rel=1e-5)


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
def test_a_new_head_begins_with_the_frequency_of_each_label(tmp_path: Path, kind: str) -> None:
    folder = write_model(tmp_path) if kind == "bert" else write_encoder(tmp_path, kind)
    model = HEAD.load(folder, label_names=("a", "b"), new_head=True)
    HEAD.start_at_frequencies(model, np.array([[1, 0], [1, 0], [0, 0]]))
    expected = [math.log(2.5 / 1.5), math.log(0.5 / 3.5)]
    last = model.get_submodule("classifier" if kind == "bert" else "classifier.out_proj")
    assert last.get_parameter("bias").tolist() == pytest.approx(expected, rel=1e-5)
