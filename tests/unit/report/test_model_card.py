"""The student's model card."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import pipeline

from pipeline.config import Recipe
from pipeline.inputs.licences import find_licences
from pipeline.inputs.recipe_inputs import RecipeInputs
from pipeline.models.saved_model import add_to_config
from pipeline.plan.plan import make_plan
from pipeline.report.model_card import UNKNOWN, model_card
from tests.helpers.agreement import code_of_card
from tests.helpers.published import EVALUATION, EXPORTED

EVALUATED = {"command": "./run_all.sh recipe.yaml", "git_commit": "c" * 40, "machine": "x86_64, 2 threads, cuda"}


@pytest.fixture
def recipe_and_inputs(world: Path) -> tuple[Recipe, RecipeInputs]:
    plan = make_plan(world / "recipe.yaml")
    return plan.recipe, plan.inputs


def card_of(recipe: Recipe, inputs: RecipeInputs, **card: Any) -> str:
    recipe = replace(recipe, card=replace(recipe.card, **card))
    evaluation = Path(recipe.run.runs) / "evaluation"
    evaluation.mkdir(parents=True, exist_ok=True)
    (evaluation / "results.json").write_text(json.dumps(EVALUATION | {"labels": ["a", "b|c\nd"]}))
    (evaluation / "stage.json").write_text(json.dumps(EVALUATED))
    return model_card(recipe, inputs, evaluation=evaluation, exported=EXPORTED)


def metadata_of(card: str) -> dict[str, Any]:
    return yaml.safe_load(card.split("---\n")[1])


def test_the_card_holds_the_metadata_that_the_hub_reads(recipe_and_inputs: tuple[Recipe, RecipeInputs]) -> None:
    metadata = metadata_of(card_of(*recipe_and_inputs, teacher_licence="mit", data_licence="mit"))
    assert metadata["license"] == "mit"
    assert metadata["pipeline_tag"] == "text-classification"
    assert "language" not in metadata  # task.language is auto, and a guess of the script is none of the language
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


def test_the_language_is_what_the_recipe_says(recipe_and_inputs: tuple[Recipe, RecipeInputs]) -> None:
    recipe, inputs = recipe_and_inputs
    german = replace(recipe, task=replace(recipe.task, language="de"))
    assert metadata_of(card_of(german, inputs))["language"] == "de"
    assert metadata_of(card_of(german, inputs, language="multilingual"))["language"] == "multilingual"


def test_two_licences_are_both_named(recipe_and_inputs: tuple[Recipe, RecipeInputs]) -> None:
    card = card_of(*recipe_and_inputs, teacher_licence="apache-2.0", data_licence="CC BY-SA 4.0")
    assert metadata_of(card)["license"] == "other"
    assert metadata_of(card)["license_name"] == "apache-2.0-and-cc-by-sa-4.0"


def test_a_licence_that_nobody_gives_is_said_to_be_unknown(recipe_and_inputs: tuple[Recipe, RecipeInputs]) -> None:
    card = card_of(*recipe_and_inputs, teacher_licence="mit")
    assert f"| the data, rows.csv, text.txt | {UNKNOWN} |" in card
    assert "license" not in metadata_of(card)


def test_licences_are_carried_from_cards_and_wheels(
    recipe_and_inputs: tuple[Recipe, RecipeInputs], world: Path, tmp_path: Path
) -> None:
    recipe, inputs = recipe_and_inputs
    assert find_licences(recipe, inputs) == {"teacher": (), "data": ()}
    (world / "README.md").write_text("---\nlicense: cc0-1.0\n---\n# Rows\n")
    (tmp_path / "wheel/bert-1.dist-info").mkdir(parents=True)
    (tmp_path / "wheel/bert-1.dist-info/METADATA").write_text("Name: bert\nLicense: Apache 2.0\n\nLicense: no\n")
    (tmp_path / "wheel/bert-1.dist-info/RECORD").write_text("bert/model/config.json,,\n")
    (tmp_path / "wheel/a_stranger-1.dist-info").mkdir()
    (tmp_path / "wheel/a_stranger-1.dist-info/METADATA").write_text("Name: a-stranger\nLicense: GPL\n\n")
    (tmp_path / "wheel/a_stranger-1.dist-info/RECORD").write_text("bert/models.py,,\n")
    model = shutil.copytree(world / "model", tmp_path / "wheel/bert/model")
    found = find_licences(recipe, replace(inputs, backbone=model))
    assert found == {"teacher": ("apache-2.0",), "data": ("cc0-1.0",)}
    (model / "README.md").write_text("---\nlicense: mit\n---\n")
    assert find_licences(recipe, replace(inputs, backbone=model))["teacher"] == ("mit",)


def licensed(folder: Path, licence: str | None, *, name: str) -> Path:
    """A file in a folder of its own, beside a README.md that names the licence."""
    (folder / name).parent.mkdir(parents=True)
    if licence:
        (folder / "README.md").write_text(f"---\nlicense: {licence}\n---\n")
    return folder / name


def test_every_file_that_was_trained_on_counts(recipe_and_inputs: tuple[Recipe, RecipeInputs], tmp_path: Path) -> None:
    recipe, inputs = recipe_and_inputs
    rows = licensed(tmp_path / "rows", "mit", name="a.csv")
    files = {
        "more": licensed(tmp_path / "more", "cc-by-4.0", name="b.csv"),
        "unlabelled": licensed(tmp_path / "unlabelled", "gpl-3.0", name="c.csv"),
        "text": licensed(tmp_path / "text", "cc-by-sa-4.0", name="d.txt"),
        "reused": licensed(tmp_path / "reused", "cc0-1.0", name="data/train-00000-of-00001.parquet"),
    }
    task = {"train": (rows, files["more"]), "unlabelled": (files["unlabelled"],)}
    used = replace(inputs, task=task, corpus=(files["text"],), augmented=(files["reused"],))
    assert find_licences(recipe, used)["data"] == ("mit", "cc-by-4.0", "gpl-3.0", "cc-by-sa-4.0", "cc0-1.0")
    for name in files:
        readme = tmp_path / name / "README.md"
        aside = readme.rename(tmp_path / "aside")
        assert find_licences(recipe, used)["data"] == (), name
        aside.rename(readme)
    there = replace(recipe, task=replace(recipe.task, train=(str(rows), "b.csv"), unlabelled=("c.csv",)))
    card = card_of(there, used, teacher_licence="mit")
    assert "| the data, a.csv, b.csv, c.csv, text.txt | mit and cc-by-4.0 and gpl-3.0 and" in card
    assert metadata_of(card)["license_name"] == "mit-and-cc-by-4.0-and-gpl-3.0-and-cc-by-sa-4.0-and-cc0-1.0"


@pytest.mark.parametrize(
    ("overrides", "counts"),
    [
        (["--pretrain_teacher.only_proposes", "true", "--distill_general.epochs", "0"], False),
        (["--pretrain_teacher.epochs", "0", "--distill_general.epochs", "0"], False),
        (["--distill_general.epochs", "0"], True),
        (["--pretrain_teacher.epochs", "0", "--student.start_from", "backbone"], True),
    ],
)
def test_a_corpus_counts_where_student_or_teacher_learn_from_it(
    world: Path, tmp_path: Path, overrides: list[str], counts: bool
) -> None:
    plan = make_plan(
        world / "recipe.yaml", ["--student.start", "fitted", "--student.start_from", "task_teacher", *overrides]
    )
    rows = licensed(tmp_path / "rows", "mit", name="a.csv")
    corpus = licensed(tmp_path / "text", "gpl-3.0", name="d.txt")
    inputs = replace(plan.inputs, task={"train": (rows,)}, corpus=(corpus,))
    assert find_licences(plan.recipe, inputs)["data"] == (("mit", "gpl-3.0") if counts else ("mit",))
    assert ("rows.csv, text.txt | mit" in card_of(plan.recipe, inputs, teacher_licence="mit")) == counts


@pytest.mark.parametrize("name", ["train.parquet", "data/train.parquet"])
def test_a_dataset_has_its_card_beside_its_files_or_above_its_data(
    recipe_and_inputs: tuple[Recipe, RecipeInputs], tmp_path: Path, name: str
) -> None:
    recipe, inputs = recipe_and_inputs
    (tmp_path / "README.md").write_text("---\nlicense: gpl-3.0\n---\n")  # of a stranger
    file = licensed(tmp_path / "reused", "cc0-1.0", name=name)
    found = find_licences(recipe, replace(inputs, task={}, corpus=(), augmented=(file,)))
    assert found["data"] == ("cc0-1.0",)


def test_a_card_that_is_no_yaml_names_no_licence(recipe_and_inputs: tuple[Recipe, RecipeInputs], world: Path) -> None:
    for broken in ("license: [", "license: mit\ndate: 2024-13-01"):
        (world / "README.md").write_text(f"---\n{broken}\n---\n")
        assert find_licences(*recipe_and_inputs)["data"] == ()


def test_the_teacher_of_the_predictions_is_named_with_its_licence(
    recipe_and_inputs: tuple[Recipe, RecipeInputs], tmp_path: Path
) -> None:
    recipe, inputs = recipe_and_inputs
    other = licensed(tmp_path / "other", "cc-by-nc-4.0", name="model.safetensors").parent
    recipe = replace(recipe, annotate_data=replace(recipe.annotate_data, teacher=str(other)))
    inputs = replace(inputs, other_teacher=other)
    card = card_of(recipe, inputs, teacher_licence="mit", data_licence="mit")
    assert "distilled from model and other by" in card
    assert "| the teacher of the predictions, other | cc-by-nc-4.0 |" in card
    assert metadata_of(card)["license_name"] == "mit-and-cc-by-nc-4.0"
    card = card_of(recipe, inputs, teacher_licence="mit", data_licence="mit", other_teacher_licence="mit")
    assert metadata_of(card)["license"] == "mit"
    (other / "README.md").unlink()
    assert UNKNOWN in card_of(recipe, inputs, teacher_licence="mit", data_licence="mit")


LONG = "good film " * 200


def test_the_code_of_the_card_cuts_a_long_text(recipe_and_inputs: tuple[Recipe, RecipeInputs], shipped: Path) -> None:
    code = code_of_card(card_of(*recipe_and_inputs), shipped)
    found: Any = eval(code.partition("\n")[2].replace('"..."', repr(LONG)), {"pipeline": pipeline})
    assert found[0]["label"] in ("fresh", "rotten")


def test_the_code_of_the_card_gives_both_texts_of_a_pair(
    recipe_and_inputs: tuple[Recipe, RecipeInputs], shipped: Path
) -> None:
    recipe, inputs = recipe_and_inputs
    pairs = replace(recipe, task=replace(recipe.task, text_pair="other"))
    code = code_of_card(card_of(pairs, inputs), shipped).partition("\n")[2]
    assert code.endswith('({"text": "...", "text_pair": "..."}, truncation=True)')
    found: Any = eval(code.replace('"..."', repr(LONG)), {"pipeline": pipeline})
    assert found["label"] in ("fresh", "rotten")
    glue = replace(recipe, task=replace(recipe.task, glue="mrpc", data="glue", train=()))
    assert '"text_pair": "..."' in card_of(glue, inputs)


def test_the_code_of_the_card_gives_the_labels_above_their_thresholds(
    recipe_and_inputs: tuple[Recipe, RecipeInputs], shipped: Path, tmp_path: Path
) -> None:
    recipe, inputs = recipe_and_inputs
    several = replace(recipe, task=replace(recipe.task, kind="multi_label"))
    code = code_of_card(card_of(several, inputs), shipped)
    folder = shutil.copytree(shipped, tmp_path / "student")
    for thresholds, labels in (
        ({"fresh": 0.01, "rotten": 0.99}, ["fresh"]),
        ({"fresh": 0.99, "rotten": 0.01}, ["rotten"]),
    ):
        add_to_config(folder, {"problem_type": "multi_label_classification", "thresholds": thresholds})
        names: dict[str, Any] = {}
        exec(code.replace(str(shipped), str(folder)).replace('"..."', repr(LONG)), names)
        assert names["labels"] == labels


def test_the_card_says_what_was_done(recipe_and_inputs: tuple[Recipe, RecipeInputs]) -> None:
    recipe, inputs = recipe_and_inputs
    once = replace(
        recipe,
        augment_data=replace(recipe.augment_data, variants=1),
        student=replace(recipe.student, layers=1),
        distill_layers=replace(recipe.distill_layers, epochs=1),
        distill_predictions=replace(recipe.distill_predictions, epochs=0.5),
    )
    card = card_of(once, inputs)
    assert "\n1 layer of width" in card
    assert "1 variant of each text, words replaced" in card
    assert "On the task: 1 epoch of layers" in card and "then 0.5 epochs of predictions,\n" in card
    assert "- Texts are cut at" in card
    never = replace(recipe, augment_data=replace(recipe.augment_data, variants=0))
    assert "| augmentation | none |" in card_of(never, inputs)
    questions = card_of(replace(recipe, task=replace(recipe.task, kind="question_answering", text_pair="c")), inputs)
    assert "Texts are cut at" not in questions and "a longer context in windows" in questions


def test_a_reused_dataset_is_named_and_its_settings_are_not_guessed(
    recipe_and_inputs: tuple[Recipe, RecipeInputs],
) -> None:
    recipe, inputs = recipe_and_inputs
    card = card_of(replace(recipe, augment_data=replace(recipe.augment_data, reuse="/mine/reviews")), inputs)
    assert "| augmentation | the dataset reviews |" in card
    assert "/mine" not in card
