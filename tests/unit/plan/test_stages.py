"""The table of stages: what a fingerprint covers, and so which stages a change runs again."""

import copy
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.artifacts.digests import DigestBook
from pipeline.artifacts.store import Artifact
from pipeline.config import Recipe
from pipeline.config.recipe_file import load_recipe
from pipeline.plan.plan import make_plan
from pipeline.plan.stage_specs import StageSpec, stage_specs
from pipeline.plan.stages import FILLING, HANDLING, LOCATIONS, RANDOM_TOKENS, READING, READING_PARQUET, STAGES
from tests import tiny
from tests.helpers.other_teachers import write_other_teacher

STORED = Path(__file__).parent / "stored_fingerprints.json"
MEND = (
    "the settings, files or upstream of these stages' fingerprints changed. If what they write changed too, raise their"
    " versions in TABLE (pipeline/plan/stages.py); then store the new fingerprints:\n"
    "    STORE_FINGERPRINTS=1 python -m pytest tests/unit/plan/test_stages.py"
)
RAISE = (
    "the default of a setting of these stages changed, which no fingerprint shows: raise their versions in TABLE"
    " (pipeline/plan/stages.py), so that nothing that an older default made is taken for theirs"
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


def with_other_defaults(found: dict[str, Any], stored: dict[str, Any]) -> list[str]:
    """The stages of which a setting has another default than was stored, under the same version."""
    return [
        stage
        for stage, now in found.items()
        if stage in stored and now["version"] == stored[stage]["version"]
        if any(now["defaults"].get(name, value) != value for name, value in stored[stage]["defaults"].items())
    ]


def test_the_fingerprints_are_those_that_are_stored(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DigestBook, "file", lambda _, path: f"content of {path.name}")
    found = {
        stage: {"fingerprint": spec.artifact.fingerprint, "version": spec.version, "defaults": spec.defaults}
        for stage, spec in stages(world).items()
    }
    found = json.loads(json.dumps(found))
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    assert with_other_defaults(found, stored) == [], RAISE
    if os.environ.get("STORE_FINGERPRINTS"):
        STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return
    assert found.keys() == stored.keys()
    changes = [stage for stage in STAGES if found[stage]["fingerprint"] != stored[stage]["fingerprint"]]
    assert changes == [], MEND
    assert found == stored, "a setting, a default or a version is new; " + MEND


def test_a_changed_default_needs_a_raised_version() -> None:
    stored = {"augment_data": {"version": 3, "defaults": {"variants": 20}}}
    changed_default = {"version": 3, "defaults": {"variants": 10}}
    assert with_other_defaults({"augment_data": changed_default}, stored) == ["augment_data"]
    assert with_other_defaults({"augment_data": changed_default | {"version": 4}}, stored) == []
    new_setting = {"version": 3, "defaults": {"variants": 20, "replace": 0.4}}
    assert with_other_defaults({"augment_data": new_setting}, stored) == []


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("seed", 7, FINETUNE | GENERAL | AUGMENT),
        ("precision", "bf16", PRETRAIN),
        ("task.max_length", 24, FINETUNE),
        ("task.metric", "macro_f1", FINETUNE),
        ("task.longest_answer", 9, FINETUNE),
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


def test_candidates_for_the_replaced_words_alone_depend_on_how_many_are_replaced(world: Path) -> None:
    def of(words: str, variants: int, replace: float) -> str:
        settings = {
            "propose_candidates.words": words,
            "augment_data.variants": variants,
            "augment_data.replace": replace,
        }
        overrides = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        return stages(world, *overrides)["propose_candidates"].artifact.fingerprint

    assert len({of("all", variants, replace) for variants in (1, 2) for replace in (0.4, 0.5)}) == 1
    some = [of("replaced", 1, 0.4), of("replaced", 1, 0.5), of("replaced", 2, 0.4), of("all", 1, 0.4)]
    assert len(set(some)) == 4
    assert of("replaced", 2, 0.4) == of("replaced", 3, 0.5)  # for several variants they are all words


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


@pytest.mark.parametrize("name", ["README.md", "model/README.md"])
def test_a_licence_beside_data_or_model_runs_the_stage_that_writes_the_card(world: Path, name: str) -> None:
    before = stages(world)
    (world / name).write_text("---\nlicense: mit\n---\n# It is fine\n")
    licensed = stages(world)
    assert changed(before, licensed) == EXPORT
    (world / name).write_text("---\nlicense: mit\n---\n# It is very fine\n")
    assert changed(licensed, stages(world)) == set()
    (world / name).write_text("---\nlicense: cc-by-nc-4.0\n---\n# It is fine\n")
    assert changed(licensed, stages(world)) == EXPORT


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


def test_test_rows_are_held_out_of_the_training_rows_where_they_have_no_files(world: Path) -> None:
    (world / "test.csv").write_text("text,label,film\nA fine film .,fresh,film 0\n")
    assert changed(stages(world), stages(world, f"--task.test={world / 'test.csv'}")) == ALL
    none_of_task = ["--prepare_corpus.task_text=false"]
    after = stages(world, *none_of_task, f"--task.test={world / 'test.csv'}")
    assert changed(stages(world, *none_of_task), after) == FINETUNE | PROPOSE


def test_a_tag_that_occurs_in_test_rows_alone_is_an_output_of_the_teacher(world: Path) -> None:
    overrides = ["--task.kind=token_classification", f"--task.test={world / 'test.conll'}"]
    (world / "test.conll").write_text("Peter B-PER\n")
    before = stages(world, *overrides)
    (world / "test.conll").write_text("Paris B-LOC\n")
    assert changed(before, stages(world, *overrides)) == FINETUNE | AUGMENT


def test_the_order_of_soft_labels_is_that_of_the_outputs(world: Path) -> None:
    one, other = (
        stages(world, "--prepare_corpus.task_text=false", f"--task.soft_labels={{{columns}}}")
        for columns in ("fresh: p, rotten: q", "rotten: q, fresh: p")
    )
    assert changed(one, other) == FINETUNE | PROPOSE


def test_rows_that_are_read_otherwise_move_the_runs_of_their_kind_alone(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ("--prepare_corpus.task_text=false",)
    before = stages(world, *overrides)
    monkeypatch.setitem(READING, "regression", 2)
    assert changed(before, stages(world, *overrides)) == set()
    monkeypatch.setitem(READING_PARQUET, "classification", 7)  # there is no such file
    assert changed(before, stages(world, *overrides)) == set()
    monkeypatch.setitem(READING, "classification", 2)
    assert changed(before, stages(world, *overrides)) == FINETUNE | PROPOSE


def test_parquet_files_that_are_read_otherwise_move_the_runs_that_read_some(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {"text": [f"text {row}" for row in range(40)], "label": ["ab"[row % 2] for row in range(40)]}
    pq.write_table(pa.table(rows), world / "rows.parquet")
    overrides = ("--prepare_corpus.task_text=false", f"--task.train={world / 'rows.parquet'}", "--task.group=null")
    before = stages(world, *overrides)
    monkeypatch.setitem(READING_PARQUET, "multi_label", 2)
    assert changed(before, stages(world, *overrides)) == set()
    monkeypatch.setitem(READING_PARQUET, "classification", 2)
    assert changed(before, stages(world, *overrides)) == FINETUNE | PROPOSE


def test_models_that_are_run_otherwise_move_the_runs_of_their_type_alone(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stages(world)
    monkeypatch.setitem(HANDLING, "gpt2", 2)
    assert changed(before, stages(world)) == set()
    monkeypatch.setitem(HANDLING, "bert", 2)
    assert changed(before, stages(world)) == PRETRAIN


def test_words_of_several_pieces_that_are_filled_otherwise_move_only_the_runs_that_fill_some_together(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = {
        "vectors": [],
        "one by one": ["--propose_candidates.several_pieces=masked_lm", "--propose_candidates.mask_share=0"],
        "together": ["--propose_candidates.several_pieces=both"],
    }
    before = {name: stages(world, *overrides) for name, overrides in recipes.items()}
    monkeypatch.setattr("pipeline.plan.stage_specs.FILLING", FILLING + 1)
    moved = {name: changed(before[name], stages(world, *overrides)) for name, overrides in recipes.items()}
    assert moved == {"vectors": set(), "one by one": set(), "together": PROPOSE}


def test_random_tokens_that_are_learnt_otherwise_move_only_the_runs_that_have_some(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes: tuple[list[str], ...] = ([], ["--distill_layers.random_tokens=0.2"])
    before = [stages(world, *overrides) for overrides in recipes]
    monkeypatch.setattr("pipeline.plan.stage_specs.RANDOM_TOKENS", RANDOM_TOKENS + 1)
    moved = [changed(old, stages(world, *overrides)) for old, overrides in zip(before, recipes, strict=True)]
    assert moved == [set(), LAYERS]


def test_only_what_labels_the_rows_depends_on_the_type_of_another_teacher(world: Path) -> None:
    before = stages(world)
    other = write_other_teacher(world / "other", ["A fine film ."] * 20, labels=("rotten", "fresh"))
    assert changed(before, stages(world, f"--annotate_data.teacher={other}")) == ANNOTATE
    assert stages(world, f"--annotate_data.teacher={other}")["annotate_data"].settings["handling"] == 3


@pytest.mark.parametrize(
    ("kind", "handling"),
    [
        *[(kind, 1) for kind in ("bert", "rembert")],
        *[(kind, 3) for kind in ("distilbert", "mpnet", "roberta", "electra", "deberta", "qwen3", "eurobert")],
        *[(kind, 4) for kind in ("xlm-roberta", "camembert")],
    ],
)
def test_a_type_of_model_is_run_as_before_only_where_it_is_named(world: Path, kind: str, handling: int) -> None:
    config = world / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": kind}))
    assert {spec.settings.get("handling", handling) for spec in stages(world).values()} == {handling}


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


def settings_that_count(recipe: Recipe) -> set[str]:
    """Every setting of the stages, the task and the student, as SECTION.NAME, except where things lie."""
    sections = (*STAGES, "task", "student")
    names = {f"{name}.{field.name}" for name in sections for field in dataclasses.fields(getattr(recipe, name))}
    return names - LOCATIONS


def test_every_setting_counts_except_where_things_lie(world: Path) -> None:
    covered = {
        name if "." in name else f"{stage}.{name}" for stage, spec in stages(world).items() for name in spec.settings
    }
    assert settings_that_count(load_recipe(world / "recipe.yaml")) <= covered
    assert not LOCATIONS & covered


def test_another_value_of_any_setting_changes_a_fingerprint(world: Path) -> None:
    plan = make_plan(world / "recipe.yaml", checked=False)
    for setting in settings_that_count(plan.recipe):
        section, name = setting.split(".")
        recipe, changed_section = copy.copy(plan.recipe), copy.copy(getattr(plan.recipe, section))
        object.__setattr__(changed_section, name, "another value")  # no pydantic: it need not be a right one
        object.__setattr__(recipe, section, changed_section)
        assert changed(dict(plan.stages), stage_specs(recipe, plan.inputs, plan.book)), setting


def test_a_setting_at_its_default_is_no_part_of_the_fingerprint(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    covered: dict[str, dict[str, Any]] = {}

    def keep(*, stage: str, settings: dict[str, Any], **_: object) -> str:
        covered[stage] = settings
        return stage

    monkeypatch.setattr("pipeline.plan.stage_specs.fingerprint", keep)
    specs = stages(world, "--augment_data.replace=0.4", "--task.text=text")
    assert covered["augment_data"] == {"variants": 2}
    assert covered["annotate_data"] == {"precision": "fp32", "task.max_length": 32}
    assert specs["augment_data"].settings["replace"] == 0.4


def test_the_default_precision_is_what_the_hardware_multiplies(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.hardware._cpu_has_bf16", lambda: True)
    monkeypatch.setattr("pipeline.hardware.gpu_capabilities", lambda: ())
    assert changed(stages(world, "--precision=bf16"), stages(world, "--precision=auto")) == set()


def test_tokens_at_once_are_what_suits_the_hardware(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_said = ["--annotate_data.decode_tokens=null", "--distill_layers.micro_batch_tokens=null"]
    on_cpu = stages(world, "--annotate_data.decode_tokens=8192", "--distill_layers.micro_batch_tokens=2048")
    assert changed(on_cpu, stages(world, *nothing_said)) == set()
    monkeypatch.setattr("pipeline.hardware.gpu_capabilities", lambda: (9.0,))
    on_gpu = stages(world, *nothing_said, "--propose_candidates.decode_tokens=2048")
    assert changed(on_cpu, on_gpu) == ANNOTATE | LAYERS
    assert on_gpu["distill_layers"].settings["micro_batch_tokens"] == 32_768
    assert on_gpu["distill_layers"].on_this_hardware == "micro_batch_tokens 32768, precision fp32"


def test_only_the_stages_that_a_recipe_needs_are_in_its_table(world: Path) -> None:
    assert list(stages(world)) == list(STAGES)
    without_corpus = ["--pretrain_teacher.epochs=0", "--distill_general.epochs=0", "--student.start=random"]
    assert set(stages(world, *without_corpus[:2])) == ALL  # a student is fitted on the corpus
    assert set(stages(world, *without_corpus)) == ALL - {"prepare_corpus"}
    copied = ["--distill_general.epochs=0", "--student.start_from=task_teacher"]
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
