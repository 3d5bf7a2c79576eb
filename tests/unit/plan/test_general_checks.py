"""Recipes without a task: what they may name, and which stages they have."""

import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.launch.options import parse
from pipeline.launch.selection import select
from pipeline.plan.general_checks import OF_TASKS
from pipeline.plan.plan import Plan, make_plan
from tests import tiny

STAGES = ["prepare_corpus", "pretrain_teacher", "distill_general", "evaluate_student", "export_student"]


def planned(world: Path, *overrides: str, **sections: dict[str, Any]) -> Plan:
    tree = tiny.general_recipe(world)
    for name, settings in sections.items():
        tree[name] = tree.get(name, {}) | settings
    return make_plan(tiny.write_recipe(world / "general.yaml", tree), overrides)


def test_a_recipe_without_a_task_has_the_stages_that_need_none(world: Path) -> None:
    plan = planned(world)
    assert list(plan.stages) == STAGES
    assert "no task: a general student" in plan.data[0]


def test_it_holds_text_out_although_it_does_not_say_so(world: Path) -> None:
    tree = tiny.general_recipe(world)
    del tree["prepare_corpus"]["held_out"]
    plan = make_plan(tiny.write_recipe(world / "general.yaml", tree))
    assert plan.recipe.prepare_corpus.held_out == 0.02
    assert plan.stages["prepare_corpus"].settings["held_out"] == 0.02
    said = planned(world, prepare_corpus={"held_out": 0.02})
    assert said.stages["prepare_corpus"].artifact == plan.stages["prepare_corpus"].artifact


def test_a_task_with_the_same_settings_shares_the_general_student(world: Path) -> None:
    general, tree = planned(world).stages, tiny.recipe(world)
    tree |= {name: tiny.general_recipe(world)[name] for name in ("prepare_corpus", "distill_general")}
    tree["distill_general"] |= {"masked_lm_head": True}  # what a recipe without a task has by itself
    of_task = make_plan(tiny.write_recipe(world / "task.yaml", tree)).stages
    shared = [stage for stage in STAGES if general[stage].artifact == of_task[stage].artifact]
    assert shared == STAGES[:3]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("finetune_teacher.epochs", 4),
        ("propose_candidates.candidates", 3),
        ("augment_data.variants", 2),
        ("annotate_data.decode_tokens", 64),
        ("distill_layers.hidden", 2.0),
        ("distill_predictions.label", 1.0),
        ("student.start_from", "task_teacher"),
        ("student.project_embedding", "false"),
        ("prepare_corpus.task_text", "true"),
        ("distill_layers.pieces", 90),
    ],
)
def test_a_setting_of_tasks_is_refused(world: Path, setting: str, value: object) -> None:
    assert {setting, setting.partition(".")[0]} & set(OF_TASKS)
    with pytest.raises(UserError, match=rf"^{setting}: only a task needs it, and the recipe has none; leave it out"):
        planned(world, f"--{setting}", str(value))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"sources": []}, r"prepare_corpus.sources: empty, but a recipe without task: makes a general student"),
        ({"held_out": 0}, r"prepare_corpus.held_out: 0, but a student without a task is measured on"),
    ],
)
def test_text_to_learn_from_and_to_measure_on_is_needed(world: Path, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        planned(world, prepare_corpus=settings)


def test_a_stage_of_tasks_that_is_asked_for_is_refused(world: Path) -> None:
    options, *_ = parse([os.devnull, "--only", "finetune_teacher"])
    with pytest.raises(UserError, match=r"finetune_teacher: this recipe has no task:, which the stage needs; it runs"):
        select(planned(world), first=options.only, last=options.only)
