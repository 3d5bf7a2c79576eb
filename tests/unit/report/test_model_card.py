"""The student's model card."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config import Recipe
from pipeline.inputs.recipe_inputs import RecipeInputs
from pipeline.plan.plan import make_plan
from pipeline.report.model_card import UNKNOWN, find_licences, model_card
from tests.helpers.published import EVALUATION, EXPORTED

EVALUATED = {"command": "./run_all.sh recipe.yaml", "git_commit": "c" * 40, "machine": "x86_64, 2 threads, cuda"}


@pytest.fixture
def recipe_and_inputs(world: Path) -> tuple[Recipe, RecipeInputs]:
    plan = make_plan(world / "recipe.yaml")
    return plan.recipe, plan.inputs


def card_of(recipe: Recipe, inputs: RecipeInputs, **card: Any) -> str:
    recipe = replace(recipe, card=replace(recipe.card, **card))
    evaluation = Path(recipe.run.runs) / "evaluation"
    evaluation.mkdir(parents=True)
    (evaluation / "results.json").write_text(json.dumps(EVALUATION | {"labels": ["a", "b|c\nd"]}))
    (evaluation / "stage.json").write_text(json.dumps(EVALUATED))
    return model_card(recipe, inputs, evaluation=evaluation, exported=EXPORTED)


def metadata_of(card: str) -> dict[str, Any]:
    return yaml.safe_load(card.split("---\n")[1])


def test_the_card_holds_the_metadata_that_the_hub_reads(recipe_and_inputs: tuple[Recipe, RecipeInputs]) -> None:
    metadata = metadata_of(card_of(*recipe_and_inputs, teacher_licence="mit", data_licence="mit"))
    assert metadata["license"] == "mit"
    assert metadata["pipeline_tag"] == "text-classification"
    assert metadata["language"] == "en"
    [model] = metadata["model-index"]
    assert model["results"][0]["metrics"] == [{"type": "accuracy", "value": 0.9}]


def test_the_card_says_what_was_measured_and_how(recipe_and_inputs: tuple[Recipe, RecipeInputs]) -> None:
    card = card_of(*recipe_and_inputs)
    assert "| | teacher | `onnx/model_int8.onnx`, which ships | student in PyTorch |" in card
    assert "| accuracy | 0.9000 | 0.8850 | 0.9000 |" in card
    assert "| latency | 1.8 ms | 0.2 ms | 1.2 ms |" in card
    assert "Latency: one text of 32 tokens on aarch64, 8 threads, cpu." in card
    assert "`onnx/model_int8.onnx` keeps 98.3% of the teacher's score (95%: 94.0% to 102.0%, paired bootstrap)" in card
    assert "| `onnx/model_int8.onnx` | 2.0 | 0.8750 |" in card
    assert f"Printed by, at commit {'c' * 40}:\n\n    ./run_all.sh recipe.yaml\n" in card
    assert "| task | rows: rows.csv |" in card  # and not the folder that it lies in on this machine
    assert "labels | a, b\\|c d |" in card
    assert "Its vocabulary has 1,000 of the teacher's 30,522 pieces" in card


def test_hub_names_are_the_base_model_and_the_data(recipe_and_inputs: tuple[Recipe, RecipeInputs]) -> None:
    recipe, inputs = recipe_and_inputs
    there = replace(recipe, backbone="hub:owner/bert@v1", task=replace(recipe.task, train=("hub:owner/rows#*.csv",)))
    metadata = metadata_of(card_of(there, inputs))
    assert (metadata["base_model"], metadata["datasets"]) == ("owner/bert", ["owner/rows"])


def test_two_licences_are_both_named(recipe_and_inputs: tuple[Recipe, RecipeInputs]) -> None:
    card = card_of(*recipe_and_inputs, teacher_licence="apache-2.0", data_licence="CC BY-SA 4.0")
    assert metadata_of(card)["license"] == "other"
    assert metadata_of(card)["license_name"] == "apache-2.0-and-cc-by-sa-4.0"


def test_a_licence_that_nobody_gives_is_said_to_be_unknown(recipe_and_inputs: tuple[Recipe, RecipeInputs]) -> None:
    card = card_of(*recipe_and_inputs, teacher_licence="mit")
    assert f"| the data, rows.csv | {UNKNOWN} |" in card
    assert "license" not in metadata_of(card)


def test_licences_are_carried_from_cards_and_wheels(
    recipe_and_inputs: tuple[Recipe, RecipeInputs], world: Path, tmp_path: Path
) -> None:
    recipe, inputs = recipe_and_inputs
    assert find_licences(recipe, inputs) == {"teacher": None, "data": None}
    (world / "README.md").write_text("---\nlicense: cc0-1.0\n---\n# Rows\n")
    (tmp_path / "wheel/bert-1.dist-info").mkdir(parents=True)
    (tmp_path / "wheel/bert-1.dist-info/METADATA").write_text("Name: bert\nLicense: Apache 2.0\n\nLicense: no\n")
    (tmp_path / "wheel/bert-1.dist-info/RECORD").write_text("bert/model/config.json,,\n")
    (tmp_path / "wheel/a_stranger-1.dist-info").mkdir()
    (tmp_path / "wheel/a_stranger-1.dist-info/METADATA").write_text("Name: a-stranger\nLicense: GPL\n\n")
    (tmp_path / "wheel/a_stranger-1.dist-info/RECORD").write_text("bert/models.py,,\n")
    model = shutil.copytree(world / "model", tmp_path / "wheel/bert/model")
    found = find_licences(recipe, replace(inputs, backbone=model))
    assert found == {"teacher": "apache-2.0", "data": "cc0-1.0"}
    (model / "README.md").write_text("---\nlicense: mit\n---\n")
    assert find_licences(recipe, replace(inputs, backbone=model))["teacher"] == "mit"


def test_a_reused_dataset_is_named_and_its_settings_are_not_guessed(
    recipe_and_inputs: tuple[Recipe, RecipeInputs],
) -> None:
    recipe, inputs = recipe_and_inputs
    card = card_of(replace(recipe, augment_data=replace(recipe.augment_data, reuse="/mine/reviews")), inputs)
    assert "| augmentation | the dataset reviews |" in card
    assert "/mine" not in card
