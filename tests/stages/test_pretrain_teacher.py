"""Training the backbone of later stages."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.data.corpus import TOKENIZER
from pipeline.models.loading import backbone_of, load_tokenizer
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


@pytest.mark.slow
def test_without_held_out_blocks_nothing_is_measured(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--pretrain_teacher.held_out", "0", "--pretrain_teacher.epochs", "1"]
    plan = run_recipe(world / "recipe.yaml", *settings, last="pretrain_teacher")
    manifest = plan.stages["pretrain_teacher"].artifact.manifest()
    assert manifest is not None and list(manifest["metrics"]) == ["curve"]
    assert "no block is held out (pretrain_teacher.held_out), so no masked accuracy is measured" in "".join(
        capsys.readouterr()
    )


@pytest.mark.slow
def test_a_teacher_from_scratch_may_have_a_tokenizer_made_from_the_texts(world: Path) -> None:
    for path in (world / "model").glob("*"):
        if path.name != "config.json":
            path.unlink()
    settings = ["--pretrain_teacher.from_scratch", "true", "--pretrain_teacher.tokenizer", "train"]
    settings += ["--pretrain_teacher.pieces", "70", "--pretrain_teacher.epochs", "1"]
    plan = run_recipe(world / "recipe.yaml", *settings, last="pretrain_teacher")
    backbone = backbone_of(plan.stages["pretrain_teacher"].artifact.folder)
    tokenizer = load_tokenizer(backbone)
    assert len(tokenizer) == 70 and "the" in tokenizer.get_vocab()
    assert load_file(backbone / "model.safetensors")["bert.embeddings.word_embeddings.weight"].shape == (70, 24)
    made = plan.stages["prepare_corpus"].artifact.folder / TOKENIZER
    assert (made / "tokenizer.json").read_bytes() == (backbone / "tokenizer.json").read_bytes()
