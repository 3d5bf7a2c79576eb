"""Which part of a model is trained."""

import re
from pathlib import Path

import pytest
import torch

from pipeline.models.loading import load_classifier, load_language_model
from pipeline.training.optimizer import train_only
from tests.tiny import write_model


@pytest.mark.parametrize(("upper", "trained"), [(0, {"pooler", "classifier"}), (2, {"1", "2", "pooler", "classifier"})])
def test_only_the_head_and_so_many_upper_layers_are_trained(upper: int, trained: set[str], tmp_path: Path) -> None:
    folder = write_model(tmp_path, layers=3)
    model = load_classifier(folder, label_names=("no", "yes"), new_head=True)
    train_only(model, upper)
    parts = [re.search(r"(?<=layer\.)\d|embeddings|pooler|classifier", name) for name in _trained(model)]
    assert {part.group() for part in parts if part} == trained
    masked_lm = load_language_model(folder, new_head=True)
    train_only(masked_lm, upper)
    parts = [re.search(r"(?<=layer\.)\d|embeddings|cls", name) for name in _trained(masked_lm)]
    assert {part.group() for part in parts if part} == {*map(str, range(3 - upper, 3)), "cls"}


def _trained(model: torch.nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]
