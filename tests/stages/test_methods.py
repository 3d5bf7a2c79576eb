"""The recipes of the methods: each runs every stage on the tiny world with its own objectives."""

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.methods import METHODS, measure, table
from pipeline import PROJECT
from pipeline.config.objectives import LAYER_OBJECTIVES, MASKED_LM, chosen
from pipeline.config.recipe_file import load_recipe
from pipeline.models.saved_model import ModelShape
from pipeline.plan.plan import make_plan
from pipeline.plan.run_folder import publish_run
from pipeline.plan.student_checks import check_student
from tests import tiny
from tests.helpers.one_process import metrics, run_recipe
from tests.helpers.published import EVALUATION, publish

FOLDER = PROJECT / "recipes" / "methods"
CURVES: dict[str, dict[str, set[str]]] = {  # what each stage compares, for a student of two layers
    "tinybert": {
        "distill_general": {"embedding", "hidden_1", "hidden_2", "attention_1", "attention_2"},
        "distill_layers": {"embedding", "hidden_1", "hidden_2", "attention_1", "attention_2"},
        "distill_predictions": {"prediction"},
    },
    "hinton": {"distill_predictions": {"prediction", "label"}},
    "distilbert": {
        "distill_general": {"soft_masked_lm", "masked_lm", "hidden_cosine_2"},
        "distill_predictions": {"prediction", "label"},
    },
    "pkd": {"distill_predictions": {"prediction", "label", "normalised_hidden_1"}},
    "minilm": {"distill_general": {"attention_maps_2", "value_relations_2"}, "distill_predictions": {"label"}},
    "minilmv2": {
        "distill_general": {"query_relations_2", "key_relations_2", "value_relations_2"},
        "distill_predictions": {"label"},
    },
}


def tiny_recipe(world: Path, method: str) -> Path:
    """A method's objectives and beginnings over the tiny world."""
    tree: dict[str, Any] = tiny.recipe(world)
    tree["run"]["tracker"] = "none"
    tree["student"] = {"layers": 2, "width": 16, "feed_forward": 24, "heads": 2}
    tree["pretrain_teacher"]["only_proposes"] = True
    tree["finetune_teacher"] |= {"epochs": 1, "allow_majority": True}
    tree["propose_candidates"], tree["augment_data"] = {"vectors": None, "candidates": 4}, {"variants": 1}
    chain = [FOLDER / f"{method}.yaml"]
    while (base := yaml.safe_load(chain[-1].read_text()).get("base")) != "../rotten_tomatoes.yaml":
        chain.append(FOLDER / base)
    for path in reversed(chain):
        for section, fields in yaml.safe_load(path.read_text()).items():
            if isinstance(fields, dict):
                tree[section] = tree.get(section, {}) | fields
    for stage in ("distill_general", "distill_layers", "distill_predictions"):
        tree[stage]["epochs"] = min(1, tree[stage].get("epochs", 1))
    tree["distill_predictions"].pop("layer_map", None)
    if method == "pkd":
        tree["distill_predictions"]["layer_map"] = [2, 0]
    if tree["distill_general"].get("relation_heads"):
        tree["distill_general"]["relation_heads"] = 4  # neither model has four heads
    return tiny.write_recipe(world / "recipe.yaml", tree)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_runs_with_its_own_objectives(world: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.training.loop.matrix_rate", lambda *_: 1e9)
    tiny.write_rows(world / "rows.csv", rows=80)
    plan = run_recipe(tiny_recipe(world, method), last="distill_predictions")
    for stage in ("distill_general", "distill_layers", "distill_predictions"):
        curve = metrics(plan, stage)["curve"]
        found = set(curve[-1]) - {"step"} if curve else set()
        assert found == CURVES[method].get(stage, set()), stage


@pytest.mark.parametrize("method", METHODS)
def test_the_methods_share_all_but_objectives_beginnings_and_where_the_passes_are_spent(method: str) -> None:
    own, tinybert = (dataclasses.asdict(load_recipe(FOLDER / f"{name}.yaml")) for name in (method, "tinybert"))
    free = {*LAYER_OBJECTIVES, *MASKED_LM, "layer_map", "relation_heads", "temperature", "prediction", "label"}
    assert own["distill_layers"]["epochs"] + own["distill_predictions"]["epochs"] == 5
    own["student"] |= {"start": tinybert["student"]["start"], "start_layers": "uniform"}
    own["distill_general"]["epochs"] = 1.0
    for stage in ("distill_general", "distill_layers", "distill_predictions"):
        for name in free | ({"epochs", "learning_rate"} if stage != "distill_general" else set()):
            own[stage].pop(name, None)
            tinybert[stage].pop(name, None)
    assert own | {"name": ""} == tinybert | {"name": ""}


def test_a_teacher_of_16_heads_and_a_student_of_12_pass_the_checks_by_relations() -> None:
    recipe = load_recipe(FOLDER / "minilmv2_large_teacher.yaml")
    large = ModelShape(
        layers=24, width=1024, heads=16, vocab_size=30522, positions=512, labels=(), embedding_size=1024,
        model_type="bert", feed_forward=4096, architectures=(),
    )  # fmt: skip
    assert recipe.student.heads == 12
    assert set(chosen(recipe.distill_layers)) == {"query_relations", "key_relations", "value_relations"}
    check_student(recipe, large, Path("bert-large"))


def test_the_table_has_a_line_for_each_method() -> None:
    row: dict[str, Any] = {"method": "pkd", "start": "layers", "text_epochs": 0.0, "task_epochs": 5.0}
    row |= {"teacher": 0.84, "student": 0.82, "kept": 0.976, "kept_interval": [0.96, 0.99], "agreement": 0.91}
    assert table([row]).splitlines()[2:] == [
        "| pkd | layers | 0 | 5 | 0.8400 | 0.8200 | 97.6% | 96.0% to 99.0% | 91.0% |"
    ]
    nothing = row | {"kept": None, "kept_interval": None}  # of a teacher that has learnt too little
    assert table([nothing]).splitlines()[2:] == ["| pkd | layers | 0 | 5 | 0.8400 | 0.8200 | - | - | 91.0% |"]


def test_the_benchmark_reads_what_each_run_published(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def publish_all(command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        _python, _m, _module, recipe, *arguments = command
        publish(make_plan(Path(recipe), arguments, checked=False))
        publish_run(make_plan(Path(recipe), arguments, checked=False))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("benchmarks.quality.subprocess.run", publish_all)
    files = {"backbone": "model", "task.train": "rows.csv", "prepare_corpus.sources": "text.txt"}
    here = {**files, "run.artifacts": "artifacts", "run.runs": "runs"}
    overrides = [word for key, name in here.items() for word in (f"--{key}", str(world / name))]
    overrides += ["--propose_candidates.vectors", "null"]
    rows = [measure(method, start, overrides) for method, start in (("tinybert", "own"), ("pkd", "fitted"))]
    assert [(row["method"], row["start"]) for row in rows] == [("tinybert", "embeddings"), ("pkd", "fitted")]
    assert [(row["text_epochs"], row["task_epochs"]) for row in rows] == [(1, 5), (0, 5)]
    assert all(row["student"] == EVALUATION["student"]["score"] for row in rows)
    assert len(table(rows).splitlines()) == 4
