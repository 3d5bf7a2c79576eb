"""Training the backbone of later stages."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.models.loading import backbone_of
from tests.helpers.one_process import run_recipe


@pytest.mark.slow
@pytest.mark.parametrize("from_scratch", [False, True])
def test_a_teacher_from_scratch_has_nothing_of_the_checkpoint(world: Path, from_scratch: bool) -> None:
    weights = world / "model/model.safetensors"
    pooler = {"bert.pooler.dense.weight": torch.full((24, 24), 7.0), "bert.pooler.dense.bias": torch.full((24,), 7.0)}
    save_file(load_file(weights) | pooler, weights, metadata={"format": "pt"})
    settings = ["--pretrain_teacher.from_scratch", str(from_scratch).lower(), "--pretrain_teacher.epochs", "1"]
    plan = run_recipe(world / "recipe.yaml", *settings, last="pretrain_teacher")
    saved = load_file(backbone_of(plan.stages["pretrain_teacher"].artifact.folder) / "model.safetensors")
    kept = [name for name, tensor in saved.items() if "pooler" in name and bool((tensor == 7).all())]
    assert sorted(kept) == ([] if from_scratch else sorted(pooler))
