"""The table of stages: what a fingerprint covers, and so which stages a change runs again."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from pipeline.artifacts.digests import DigestBook
from pipeline.artifacts.store import Artifact
from pipeline.config import Recipe
from pipeline.config.recipe_file import load_recipe
from pipeline.plan.plan import make_plan
from pipeline.plan.stages import LATER, PATHS, STAGES, StageSpec
from tests import tiny

STORED = Path(__file__).parent / "stored_fingerprints.json"
MEND = (
    "the settings, files or upstream of these stages' fingerprints changed. If what they write changed too, raise their"
    " numbers in VERSIONS (pipeline/plan/stages.py); then store the new fingerprints:\n"
    "    STORE_FINGERPRINTS=1 python -m pytest tests/unit/plan/test_stages.py"
)

EXPORT = {"export_student"}
EVALUATE = {"evaluate_student"} | EXPORT
PREDICTIONS = {"distill_predictions"} | EVALUATE
LAYERS = {"distill_layers"} | PREDICTIONS
ANNOTATE = {"annotate_data"} | PREDICTIONS
AUGMENT = {"augment_data", "annotate_data"} | LAYERS
PROPOSE = {"propose_candidates"} | AUGMENT
FINETUNE = {"finetune_teacher", "annotate_data"} | LAYERS
GENERAL = {"distill_general"} | LAYERS
PRETRAIN = {"pretrain_teacher"} | PROPOSE | FINETUNE | GENERAL
ALL = set(STAGES)


def stages(world: Path, *overrides: str) -> dict[str, StageSpec]:
    return dict(make_plan(world / "recipe.yaml", overrides, checked=False).stages)


def changed(before: dict[str, StageSpec], after: dict[str, StageSpec]) -> set[str]:
    return {stage for stage, spec in after.items() if spec.artifact != before[stage].artifact}


def test_the_fingerprints_are_those_that_are_stored(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DigestBook, "file", lambda _, path: f"content of {path.name}")
    found = {stage: spec.artifact.fingerprint for stage, spec in stages(world).items()}
    if os.environ.get("STORE_FINGERPRINTS"):
        STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    assert [stage for stage in STAGES if found[stage] != stored[stage]] == [], MEND


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("seed", 7, FINETUNE | GENERAL | AUGMENT),
        ("precision", "bf16", PRETRAIN),
        ("task.max_length", 24, FINETUNE),
        ("task.metric", "macro_f1", FINETUNE),
        ("task.split_seed", 7, ALL),  # the corpus takes the text of the training rows
        ("student.width", 24, GENERAL),
        ("prepare_corpus.length", 24, ALL),
        ("pretrain_teacher.seed", 7, PRETRAIN),
        ("finetune_teacher.epochs", 5, FINETUNE),
        ("distill_general.hidden", 0.5, GENERAL),
        ("propose_candidates.candidates", 5, PROPOSE),
        ("propose_candidates.context", "pair", PROPOSE),
        ("propose_candidates.protect", "film", PROPOSE),
        ("propose_candidates.stop_words", "[film]", PROPOSE),
        ("augment_data.replace", 0.5, AUGMENT),
        ("augment_data.same_answer", "true", AUGMENT),
        ("annotate_data.decode_tokens", 64, ANNOTATE),
        ("distill_layers.epoch_covers", "augmented", LAYERS),
        ("distill_predictions.temperature", 2.0, PREDICTIONS),
        ("evaluate_student.bootstrap", 200, EVALUATE),
        ("export_student.largest_loss", 0.5, EXPORT),
        ("card.data_licence", "mit", EXPORT),
        ("name", "another", set()),
        ("run.checkpoint_seconds", 1, set()),
        ("run.log_every", 3, set()),
        ("run.tracker", "none", set()),
        ("run.runs", "/nowhere/runs", set()),
    ],
)
def test_a_changed_setting_runs_exactly_what_it_can_change(
    world: Path, setting: str, value: object, expected: set[str]
) -> None:
    assert changed(stages(world), stages(world, f"--{setting}", str(value))) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("text.txt", ALL),
        ("rows.csv", FINETUNE | PROPOSE),
        ("more.csv", PROPOSE),
        ("vectors.txt", PROPOSE),
        ("model/model.safetensors", PRETRAIN),
        ("model/tokenizer.json", ALL),
        ("model/README.md", set()),
    ],
)
def test_an_edited_file_runs_its_readers_and_what_is_built_on_them(world: Path, name: str, expected: set[str]) -> None:
    overrides = ["--prepare_corpus.task_text=false", f"--task.unlabelled={world / 'more.csv'}"]
    (world / "more.csv").write_text("text\nThe plot is fine .\n")
    before = stages(world, *overrides)
    with (world / name).open("a") as file:
        file.write(" ")
    assert changed(before, stages(world, *overrides)) == expected


@pytest.mark.parametrize(("unlabelled", "expected"), [(False, AUGMENT), (True, PROPOSE)])
def test_an_edited_test_row_moves_nothing_that_a_model_learns_but_for_variants_equal_to_it(
    world: Path, unlabelled: bool, expected: set[str]
) -> None:
    overrides = [f"--task.test={world / 'test.csv'}"]
    (world / "test.csv").write_text("text,label,film\nA fine film .,fresh,film 0\n")
    if unlabelled:  # its rows that repeat a test row are left out
        overrides.append(f"--task.unlabelled={world / 'more.csv'}")
        (world / "more.csv").write_text("text\nThe plot is fine .\n")
    before = stages(world, *overrides)
    (world / "test.csv").write_text("text,label,film\nA fine plot .,fresh,film 0\n")
    assert changed(before, stages(world, *overrides)) == expected


def test_the_corpus_reads_the_rows_only_when_it_takes_their_text(world: Path) -> None:
    before = stages(world)
    with (world / "rows.csv").open("a") as file:
        file.write("A fine film .,fresh,film 1\n")
    assert changed(before, stages(world)) == ALL


def test_a_file_of_the_same_content_changes_nothing(world: Path) -> None:
    before = stages(world)
    for path in world.rglob("*.*"):
        os.utime(path, ns=(1, 1))
    assert changed(before, stages(world)) == set()


def test_fingerprints_do_not_depend_on_where_files_lie(world: Path) -> None:
    before = {stage: spec.artifact.fingerprint for stage, spec in stages(world).items()}
    moved = world.rename(world.with_name("moved"))
    tiny.write_recipe(moved / "recipe.yaml", tiny.recipe(moved))
    assert {stage: spec.artifact.fingerprint for stage, spec in stages(moved).items()} == before


def test_every_setting_counts_except_where_things_lie(world: Path) -> None:
    covered: dict[str, set[str]] = {section: set() for section in (*STAGES, "task", "student")}
    for stage, spec in stages(world).items():
        covered[stage] |= spec.settings.keys()
        covered["task"] |= spec.settings.get("task", {}).keys() | spec.settings.keys() & {"metric", "max_length"}
        covered["student"] |= spec.settings.get("student", {}).keys()
    recipe: Recipe = load_recipe(world / "recipe.yaml")
    for section, names in covered.items():
        all_names = {field.name for field in dataclasses.fields(getattr(recipe, section))}
        assert all_names - set(PATHS.get(section, ())) - set(LATER.get(section, ())) <= names, section


OTHER_VALUES = {
    "layer_map": "last",
    "copy_layers": "bottom",
    "copy_from": "task_teacher",
    "architecture": "mobilebert",
    "header": ["text", "label"],
    "project_embedding": False,
}  # where one more is no value


@pytest.mark.parametrize(("section", "name"), [(section, name) for section, names in LATER.items() for name in names])
def test_a_later_setting_counts_unless_it_is_at_its_default(world: Path, section: str, name: str) -> None:
    default = getattr(getattr(load_recipe(world / "recipe.yaml"), section), name)
    before = stages(world)
    assert changed(before, stages(world, f"--{section}.{name}", json.dumps(default))) == set()
    other = OTHER_VALUES.get(name, default + 1 if isinstance(default, int | float) else None)
    assert changed(before, stages(world, f"--{section}.{name}", json.dumps(other)))


def test_the_default_precision_is_what_the_hardware_multiplies(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.hardware._cpu_has_bf16", lambda: True)
    monkeypatch.setattr("pipeline.hardware.gpu_capabilities", lambda: ())
    assert changed(stages(world, "--precision=bf16"), stages(world, "--precision=auto")) == set()


def test_only_the_stages_that_a_recipe_needs_are_in_its_table(world: Path) -> None:
    assert list(stages(world)) == list(STAGES)
    without_corpus = ["--pretrain_teacher.epochs=0", "--distill_general.epochs=0"]
    assert set(stages(world, *without_corpus)) == ALL - {"prepare_corpus"}
    copied = ["--distill_general.epochs=0", "--student.copy_layers=uniform", "--student.copy_from=task_teacher"]
    assert set(stages(world, *copied)) == ALL - {"distill_general"}
    assert set(stages(world, "--augment_data.variants=0")) == ALL - {"propose_candidates"}
    own_teacher = stages(world, f"--finetune_teacher.model={world / 'model'}")
    assert own_teacher["finetune_teacher"].reads == ()


def test_a_stage_comes_after_all_that_it_reads(world: Path) -> None:
    done: set[str] = set()
    for stage, spec in stages(world).items():
        assert done.issuperset(spec.reads)
        done.add(stage)


def test_the_artifacts_folder_is_no_part_of_a_fingerprint(world: Path) -> None:
    before, after = stages(world), stages(world, f"--run.artifacts={world / 'elsewhere'}")
    for stage, spec in after.items():
        assert spec.artifact == Artifact(world / "elsewhere", stage, before[stage].artifact.fingerprint)
