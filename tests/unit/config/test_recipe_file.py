"""Recipes: YAML files, their bases, the command line's overrides, and what a mistake in them says."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pipeline import PROJECT
from pipeline.config import Recipe
from pipeline.config.recipe_file import load_recipe, parse_overrides
from pipeline.errors import UserError
from pipeline.plan.plan import make_plan
from tests import tiny

SMALLEST = "backbone: bert\ntask: {train: rows.csv}\n"
RECIPES = sorted((PROJECT / "recipes").rglob("*.yaml"))


def load(folder: Path, text: str, *overrides: str) -> Recipe:
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    return load_recipe(folder / "mine.yaml", overrides)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.relative_to(PROJECT / "recipes").as_posix())
def test_every_recipe_of_the_project_loads(path: Path) -> None:
    is_base = any(other.parent / str(yaml.safe_load(other.read_text()).get("base")) == path for other in RECIPES)
    assert load_recipe(path, ["--task.label", "label"] if is_base else []).name  # a base may leave the task open


TINYBERTS = sorted(path for path in (PROJECT / "recipes/glue").glob("tinybert?_*.yaml") if "_fitted" not in path.stem)


@pytest.mark.parametrize("path", TINYBERTS, ids=lambda path: path.stem)
def test_a_recipe_of_the_paper_has_a_twin_that_starts_fitted_and_differs_in_nothing_else(path: Path) -> None:
    random, twin = load_recipe(path, []), load_recipe(path.with_stem(f"{path.stem}_fitted"), [])
    assert random.student.start == "random"
    assert twin == replace(random, name=twin.name, student=replace(random.student, start="fitted"))


def test_a_recipe_without_a_name_has_that_of_its_file(tmp_path: Path) -> None:
    assert load(tmp_path, SMALLEST).name == "mine"
    assert load(tmp_path, SMALLEST + "name: yours\n").name == "yours"
    assert load(tmp_path, SMALLEST + 'name: ""\n').name == "mine"


def test_one_file_needs_no_brackets_and_labels_may_be_numbers(tmp_path: Path) -> None:
    task = load(tmp_path, "backbone: bert\ntask: {train: rows.csv, labels: [0, 1]}\n").task
    assert (task.train, task.labels) == (("rows.csv",), ("0", "1"))


def test_columns_may_be_named_by_numbers(tmp_path: Path) -> None:
    task = load(tmp_path, "backbone: bert\ntask: {train: a.conll, text: 0, label: 3, header: [0, 1]}\n").task
    assert (task.text, task.label, task.header) == ("0", "3", ("0", "1"))


def test_a_recipe_says_only_what_differs_from_its_base(tmp_path: Path) -> None:
    (tmp_path / "root.yaml").write_text(SMALLEST + "student: {layers: 2, width: 24}\nseed: 3\n")
    (tmp_path / "middle.yaml").write_text("base: root.yaml\nstudent: {layers: 6}\n")
    recipe = load(tmp_path, "base: middle.yaml\nstudent: {heads: 2}\ntask: {train: [other.csv]}\n")
    assert (recipe.student.layers, recipe.student.width, recipe.student.heads) == (6, 24, 2)
    assert (recipe.seed, recipe.backbone, recipe.task.train) == (3, "bert", ("other.csv",))
    assert recipe.name == "mine"


def test_the_command_line_overrides_the_recipe(tmp_path: Path) -> None:
    words = ["--distill_layers.epochs", "2", "--finetune_teacher.learning_rate=5e-5", "--task.train", "[a.csv, b.csv]"]
    recipe = load(tmp_path, SMALLEST + "distill_layers: {epochs: 9, batch_size: 7}\n", *words, "--task.skip_empty=true")
    assert (recipe.distill_layers.epochs, recipe.distill_layers.batch_size) == (2, 7)
    assert recipe.finetune_teacher.learning_rate == 5e-5
    assert (recipe.task.train, recipe.task.skip_empty) == (("a.csv", "b.csv"), True)


@pytest.mark.parametrize("sign", ["|", ",", ";", ">", "#", "/", "::"])
def test_a_sign_on_the_command_line_stands_for_itself(tmp_path: Path, sign: str) -> None:
    recipe = load(tmp_path, SMALLEST, "--task.kind", "multi_label", "--task.label_separator", sign)
    assert recipe.task.label_separator == sign


@pytest.mark.parametrize("value", ["#2 String", "x #y", " "])
def test_a_value_that_yaml_would_take_for_a_comment_stands_for_itself(value: str) -> None:
    assert [found for _, found, _ in parse_overrides(["--task.text", value])] == [value]
    assert [found for _, found, _ in parse_overrides(["--task.text", "null"])] == [None]
    assert [found for _, found, _ in parse_overrides(["--task.text", "'a #b' # a remark"])] == ["a #b"]


def test_numbers_of_another_base_are_texts(tmp_path: Path) -> None:
    text = "backbone: bert\ntask: {train: rows.csv, drop_labels: [010, 007, 8, 0x1F, 1:30, 1.50, 1_000, 2026-11-28]}\n"
    assert load(tmp_path, text).task.drop_labels == ("010", "007", "8", "0x1F", "1:30", "1.5", "1000", "2026-11-28")
    with pytest.raises(UserError, match="learning_rate: '1:30' does not fit"):
        load(tmp_path, SMALLEST, "--distill_layers.learning_rate", "1:30")


def test_a_language_that_yaml_takes_for_no_is_to_be_quoted(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="put the name in quotes"):
        load(tmp_path, SMALLEST, "--task.language", "no")
    assert load(tmp_path, SMALLEST, "--task.language", "'no'").task.language == "no"


def test_the_last_of_two_overrides_wins(tmp_path: Path) -> None:
    assert load(tmp_path, SMALLEST, "--seed", "1", "--seed=2").seed == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--seed"], "--seed wants a value"),
        (
            ["--distil_layers.epochs", "2"],
            "--distil_layers.epochs: distil_layers: unknown setting; did you mean 'distill_layers'?",
        ),
        (["--distill_layers.epoch", "2"], "--distill_layers.epoch: unknown setting; did you mean 'epochs'?"),
        (["--seed", "-1"], "--seed: -1 does not fit: input should be greater than or equal to 0"),
        (["--task.train", "[a"], "--task.train: '[a' is not valid YAML; quote it"),
        (["seed", "1"], "'seed' is not an option; settings are written --section.field value"),
    ],
)
def test_a_wrong_override_names_the_option(tmp_path: Path, words: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}"):
        load(tmp_path, SMALLEST, *words)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("distill_layers:\n  epoch: 3\n", "mine.yaml:4: distill_layers.epoch: unknown setting; did you mean 'epochs'?"),
        ("studnet: {}\n", "mine.yaml:3: studnet: unknown setting; did you mean 'student'?"),
        ("student:\n  layers: four\n", "mine.yaml:4: student.layers: 'four' does not fit: input should be a valid int"),
        ("student:\n  layers: 2.5\n", "mine.yaml:4: student.layers: 2.5 does not fit"),
        ("student:\n\n  layers: 0\n", "mine.yaml:5: student.layers: 0 does not fit: input should be greater than or"),
        ("distill_layers: {warmup: 1}\n", "mine.yaml:3: distill_layers.warmup: 1 does not fit: input should be less"),
        ("distill_layers: {clip: .inf}\n", "mine.yaml:3: distill_layers.clip: inf does not fit"),
        ("precision: fp16\n", "mine.yaml:3: precision: 'fp16' does not fit: input should be 'auto', 'bf16' or 'fp32'"),
        ("student:\n", "mine.yaml:3: student: None does not fit"),
        ("seed: 1\nseed: 2\n", "mine.yaml:4: seed is given twice; keep one"),
        ("student: {layers: 2, layers: 3}\n", "mine.yaml:3: student.layers is given twice; keep one"),
        ("student: [layers: 2\n", "mine.yaml:4: not valid YAML"),
        ("seed: !!python/object/apply:os.getpid []\n", "mine.yaml:3: not valid YAML: could not determine"),
        ("student: &a {layers: *a}\n", "mine.yaml:3: 'a' is a YAML anchor or alias, which recipes cannot have; write"),
        ("seed: \x00\n", "mine.yaml: not valid YAML: unacceptable character"),
        ("name: ../elsewhere\n", "mine.yaml:3: name: '../elsewhere' names a folder, or holds another sign; use"),
        ("base: nowhere/x.yaml\n", "nowhere/x.yaml: no such recipe; known are: recipes/"),
        (
            "base: nowhere/your_date.yaml\n",
            "nowhere/your_date.yaml: no such recipe; did you mean 'recipes/your_data.yaml'?",
        ),
        ("base: min.yaml\n", "min.yaml: no such recipe; did you mean 'mine.yaml'?"),
        ("base: mine.yaml\n", "mine.yaml: base: the recipe is its own base"),
        ("base: [mine.yaml]\n", "mine.yaml: base: must be the name of another recipe"),
    ],
)
def test_a_mistake_in_a_recipe_names_file_line_and_key(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path, SMALLEST + text)
    assert str(caught.value).startswith(f"{tmp_path}/{sentence}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "- backbone\n", "backbone\n"])
def test_a_file_that_is_no_mapping_says_what_a_recipe_is(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="a recipe is a mapping of settings, such as 'backbone: hub:"):
        load(tmp_path, text)


def test_a_mistake_in_a_base_names_the_base(tmp_path: Path) -> None:
    (tmp_path / "root.yaml").write_text(SMALLEST + "seed: one\n")
    with pytest.raises(UserError, match=r"/root.yaml:3: seed: 'one' does not fit"):
        load(tmp_path, "base: root.yaml\n")


def test_bases_that_name_each_other_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("base: mine.yaml\n")
    with pytest.raises(UserError, match="the recipe is its own base"):
        load(tmp_path, "base: other.yaml\n")


def test_what_every_recipe_must_give_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mine.yaml: backbone: missing; every recipe must give it"):
        load(tmp_path, "task: {train: rows.csv}\n")


def test_relative_paths_start_at_the_project_wherever_the_command_runs(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.plan.plan.PROJECT", world)
    monkeypatch.chdir(tmp_path)
    relative = tiny.recipe(Path())
    plan = make_plan(tiny.write_recipe(tmp_path / "mine.yaml", relative), ["--task.dev", "[rows.csv]"], checked=False)
    assert plan.inputs.backbone == world / "model"
    assert plan.inputs.task == {"train": (world / "rows.csv",), "dev": (world / "rows.csv",)}
    assert plan.run_folder == world / "runs/mine"
    assert plan.stages["prepare_corpus"].artifact.root == world / "artifacts"
