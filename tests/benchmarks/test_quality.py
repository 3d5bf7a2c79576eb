"""The baseline of the quality benchmark is the student that its settings ask for."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, BertModel

from benchmarks import quality
from benchmarks.quality import saved
from pipeline.config.recipe_file import load_recipe
from pipeline.errors import WorkFailed
from tests.tiny import write_model


def test_a_student_of_earlier_settings_is_written_anew(tmp_path: Path) -> None:
    write_model(tmp_path / "backbone")
    for layers in (1, 2):
        student = BertModel(BertConfig(hidden_size=12, num_hidden_layers=layers, intermediate_size=12, vocab_size=20))
        saved(student, tmp_path / "labels-alone", tokenizer_of=tmp_path / "backbone")
    assert json.loads((tmp_path / "labels-alone/config.json").read_text())["num_hidden_layers"] == 2


def test_a_student_of_a_recipe_from_scratch_is_trained_on_its_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(recipe: Path, arguments: list[str], *_: str) -> Any:
        return load_recipe(recipe, arguments)

    monkeypatch.setattr(quality, "run", load)
    recipe = quality.PROJECT / "recipes/zh_reviews.yaml"
    settings: Any = quality.train_on_labels(Path("student"), recipe, [], epochs=3, rate=1e-3)
    assert (settings.pretrain_teacher.from_scratch, settings.finetune_teacher.epochs) == (False, 3)


def test_a_run_that_fails_is_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WorkFailed, match=r"nowhere\.yaml ended with status 2"):
        quality.run(tmp_path / "nowhere.yaml", [])
    assert "no such recipe" in capfd.readouterr().err
