"""The student's model card, and publishing it on the hub: against a small one on 127.0.0.1."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import PROJECT
from pipeline.config import Recipe
from pipeline.inputs.resolver import RecipeInputs
from pipeline.plan.plan import make_plan
from pipeline.plan.run_folder import publish_run
from pipeline.report.model_card import UNKNOWN, find_licences, model_card
from tests.helpers.commands import run_all
from tests.helpers.fake_hub import TOKEN, serve
from tests.helpers.published import EVALUATION, EXPORTED, write_stage

EVALUATED = {"command": "./run_all.sh recipe.yaml", "git_commit": "c" * 40, "machine": "x86_64, 2 threads, cpu"}
NOBODY = "http://127.0.0.1:9"  # no hub answers there


@pytest.fixture
def recipe_and_inputs(world: Path) -> tuple[Recipe, RecipeInputs]:
    plan = make_plan(world / "recipe.yaml")
    return plan.recipe, plan.inputs


def card_of(recipe: Recipe, inputs: RecipeInputs, **card: Any) -> str:
    recipe = replace(recipe, card=replace(recipe.card, **card))
    evaluation = Path(recipe.run.runs) / "evaluation"
    evaluation.mkdir(parents=True)
    (evaluation / "results.json").write_text(json.dumps(EVALUATION | {"labels": ["a", "b"]}))
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
    assert "| accuracy | 0.9000 | 0.9000 |" in card
    assert "| `onnx/model_int8.onnx` | 2.0 | 0.8750 |" in card
    assert f"Printed by, at commit {'c' * 40}:\n\n    ./run_all.sh recipe.yaml\n" in card
    assert "| task | rows: rows.csv |" in card  # and not the folder that it lies in on this machine
    assert "labels | a, b |" in card
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


@pytest.fixture
def run(world: Path) -> Path:
    """The folder of a run with a student that is measured, the licences given."""
    folder = world / "runs" / "recipe"
    given = ["--card.teacher_licence", "mit", "--card.data_licence", "mit"]
    publish_run(make_plan(world / "recipe.yaml", given))
    student = write_stage(folder, "distill_predictions", {})
    (student / "model.safetensors").write_bytes(b"weights")
    (student / "onnx").mkdir()
    (student / "onnx" / "model.onnx").write_bytes(b"graph")
    evaluation = write_stage(folder, "evaluate_student", {}, reads="distill_predictions")
    (evaluation / "results.json").write_text(json.dumps(EVALUATION))
    return folder


def push(run: Path, name: str, *, address: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    known = os.environ | {"HF_ENDPOINT": address, "HF_HOME": str(run.parent / "home"), "HF_TOKEN": token}
    known |= {"PYTHONPATH": str(PROJECT), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    known.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-m", "pipeline.report.push", str(run), name]
    return subprocess.run(command, env=known, capture_output=True, text=True, check=False, timeout=120)


def test_the_student_is_published_under_its_name(run: Path, tmp_path: Path) -> None:
    with serve({}, uploads=tmp_path / "hub") as address:
        done = push(run, "owner/small", address=address)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{address}/owner/small/commit/")
    there = tmp_path / "hub/owner/small"
    found = sorted(path.relative_to(there).as_posix() for path in there.rglob("*") if path.is_file())
    assert found == ["README.md", "model.safetensors", "onnx/model.onnx"]  # and no stage.json, which names this machine
    assert 'model="owner/small"' in (there / "README.md").read_text()
    assert (there / "model.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("name", "token", "message"),
    [
        ("owner//small", TOKEN, "is no name of a hub repository: write OWNER/NAME"),
        ("owner/small", "hf_reader", "cannot be written with your token (401)"),
        ("other/small", TOKEN, "cannot be written with your token (403)"),
        ("owner/small", "", "cannot be written by nobody: run `hf auth login`, or set HF_TOKEN"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(run: Path, tmp_path: Path, name: str, token: str, message: str) -> None:
    with serve({}, uploads=tmp_path / "hub") as address:
        done = push(run, name, address=address, token=token)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: hub:{name} {message}"), done.stderr
    assert done.stderr.count("\n") == 1


def test_a_run_that_nobody_may_publish_does_not_begin(world: Path, tmp_path: Path) -> None:
    with serve({}, uploads=tmp_path / "hub") as address:
        nobody = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "", "HF_HUB_OFFLINE": "0"}
        done = run_all(world / "recipe.yaml", "--push", "owner/small", environment=nobody)
    assert done.returncode == 2
    assert done.stderr == ("error: hub:owner/small cannot be written by nobody: run `hf auth login`, or set HF_TOKEN\n")
    assert not (world / "runs").exists()
    assert not (world / "artifacts").exists()


def test_no_network_is_one_sentence(run: Path) -> None:
    done = push(run, "owner/small", address=NOBODY)
    assert done.returncode == 2
    assert done.stderr == (
        "error: hub:owner/small is not published: the hub is not reached; check the network or HF_ENDPOINT\n"
    )


def test_an_unknown_licence_is_asked_for(run: Path, world: Path) -> None:
    publish_run(make_plan(world / "recipe.yaml", ["--card.teacher_licence", "mit"]))
    done = push(run, "owner/small", address=NOBODY)
    assert done.returncode == 2
    assert "give card.teacher_licence and card.data_licence in the recipe" in done.stderr


def test_a_run_that_is_not_finished_publishes_nothing(tmp_path: Path) -> None:
    write_stage(tmp_path / "run", "finetune_teacher", {})
    done = push(tmp_path / "run", "owner/small", address=NOBODY)
    assert done.returncode == 2
    assert "has no student that is measured" in done.stderr
