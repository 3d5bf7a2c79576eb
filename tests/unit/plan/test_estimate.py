"""What a run costs follows its settings."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.plan.estimate import (
    CHARACTERS_A_TOKEN,
    LAUNCH_SECONDS,
    PARQUET_BYTES,
    TRAINED,
    Costs,
    Counts,
    corpus_tokens,
    estimates,
    reused_rows,
    trained_tokens,
)
from pipeline.plan.plan import Plan, make_plan
from tests import tiny
from tests.helpers.published import publish

COUNTS = Counts(
    rows={"train": 100, "dev": 10, "test": 10, "unlabelled": 50},
    tokens={"train": 1000.0, "dev": 100.0, "test": 200.0, "unlabelled": 500.0},
    lengths=np.full(100, 10),
    corpus=8000.0,
    corpus_length=32,
    labels=3,
)
COSTS = Costs(teacher=1.0, student=0.1, steps=dict.fromkeys(TRAINED, 2.0))  # seconds nobody would wait for


def planned(world: Path, **changes: dict[str, Any]) -> Plan:
    recipe = tiny.recipe(world)
    sections = {section: {**recipe.get(section, {}), **fields} for section, fields in changes.items()}
    return make_plan(tiny.write_recipe(world / "recipe.yaml", recipe | sections), checked=False)


def seconds(world: Path, stage: str, **changes: dict[str, Any]) -> float:
    return estimates(planned(world, **changes), COUNTS, COSTS)[stage].seconds


def test_a_training_costs_its_tokens_and_what_is_scored_after_each_epoch(world: Path) -> None:
    work = 3 * 1000 * 2.0 + (1 + 3) * 100 * 1.0
    assert seconds(world, "finetune_teacher", finetune_teacher={"epochs": 3}) == pytest.approx(work, abs=2)
    work = 2 * 1500 * 2.0 + (1 + 2) * 100 * 0.1
    assert seconds(world, "distill_predictions", distill_predictions={"epochs": 2}) == pytest.approx(work, abs=2)


def test_a_batch_that_comes_again_spares_the_teacher_s_pass(world: Path) -> None:
    once, echoed = (seconds(world, "distill_layers", distill_layers={"epochs": 3, "echo": echo}) for echo in (1, 3))
    assert once - echoed == pytest.approx(3 * 1500 * (1 - 1 / 3) * 1.0)
    alone = (seconds(world, "distill_predictions", distill_predictions={"echo": echo}) for echo in (1, 3))
    assert len(set(alone)) == 1  # no teacher runs there


def test_variants_cost_steps_only_where_an_epoch_shows_them_all(world: Path) -> None:
    tokens = {}
    for covers in ("originals", "augmented"):
        plan = planned(world, augment_data={"variants": 4}, distill_layers={"epochs": 2, "epoch_covers": covers})
        tokens[covers] = trained_tokens(plan.recipe, COUNTS)["distill_layers"]
    assert tokens == {"originals": 2 * 1500, "augmented": 5 * 2 * 1500}
    assert seconds(world, "annotate_data", augment_data={"variants": 4}) == pytest.approx(5 * 1500, abs=2)


def test_the_teacher_reads_every_variant_once_more_where_its_answer_must_stay(world: Path) -> None:
    without, same = (
        seconds(world, "augment_data", augment_data={"variants": 4, "same_answer": same}) for same in (False, True)
    )
    assert same - without == pytest.approx(5 * 1500)


def test_of_a_reused_dataset_its_own_rows_count(world: Path) -> None:
    plan = planned(
        world,
        augment_data={"variants": 20, "reuse": str(reused(world / "train.parquet", rows=450))},
        distill_layers={"epochs": 1, "epoch_covers": "augmented"},
    )
    counts = replace(COUNTS, reused=reused_rows(plan))
    found = estimates(plan, counts, COSTS)
    assert found["annotate_data"].seconds == pytest.approx(3 * 1500, abs=2)  # 450 rows for 150
    assert found["augment_data"].bytes == pytest.approx(PARQUET_BYTES * CHARACTERS_A_TOKEN * 3 * 1500)
    assert trained_tokens(plan.recipe, counts)["distill_layers"] == 3 * 1500
    assert reused_rows(planned(world)) is None


@pytest.mark.parametrize(
    ("task", "answers"),
    [
        ({}, 150 * 3),
        ({"kind": "regression"}, 150),
        ({"kind": "embedding", "text_pair": "other"}, 150 * 24),  # the backbone's width
        ({"kind": "token_classification"}, 1500 * 3),
        ({"kind": "question_answering", "text": "question", "text_pair": "context"}, 1500 * 2),
    ],
)
def test_the_teacher_s_answers_take_four_bytes_for_each_output(world: Path, task: dict[str, Any], answers: int) -> None:
    plan = planned(world, task=task, augment_data={"variants": 4})
    labels = 0 if task.get("kind") in ("regression", "embedding", "question_answering") else 3
    assert estimates(plan, replace(COUNTS, labels=labels), COSTS)["annotate_data"].bytes == 4 * 5 * answers


def reused(path: Path, *, rows: int) -> Path:
    pq.write_table(pa.table({"text": ["fine"] * rows}), path)
    return path


def test_another_teacher_costs_by_the_weights_of_its_layers(world: Path) -> None:
    ours = json.loads((world / "model/config.json").read_text())
    shutil.copytree(world / "model", world / "other")
    larger = {name: 2 * ours[name] for name in ("num_hidden_layers", "hidden_size", "intermediate_size")}
    (world / "other/config.json").write_text(json.dumps(ours | larger))
    given: dict[str, Any] = {"augment_data": {"variants": 0}}
    without = planned(world, **given)
    other = planned(world, **given, annotate_data={"teacher": str(world / "other")})
    before, after = (estimates(plan, COUNTS, COSTS) for plan in (without, other))
    assert before["annotate_data"].seconds == pytest.approx(1500, abs=2)
    assert after["annotate_data"].seconds == pytest.approx(8 * 1500, abs=2)
    evaluated = after["evaluate_student"].seconds - before["evaluate_student"].seconds
    assert evaluated == pytest.approx(8 * 200)  # of the test rows
    strange = {"model_type": "t5", "num_labels": 2}  # its sizes have other names
    (world / "other/config.json").write_text(json.dumps(strange))
    assert estimates(other, COUNTS, COSTS)["annotate_data"] == before["annotate_data"]


def test_the_masked_lm_uses_a_part_of_the_corpus(world: Path) -> None:
    part = {"epochs": 1, "held_out": 0, "tokens": 2000}
    assert seconds(world, "pretrain_teacher", pretrain_teacher=part) == pytest.approx(4000, abs=2)
    assert seconds(world, "pretrain_teacher", pretrain_teacher=part | {"tokens": 0}) == pytest.approx(16_000, abs=2)


def test_words_that_are_masked_together_share_a_pass(world: Path) -> None:
    one, several, some, pair = (
        seconds(world, "propose_candidates", propose_candidates=settings, augment_data={"variants": 1})
        for settings in (
            {"mask_share": 0},
            {"mask_share": 0.2},
            {"mask_share": 0.2, "words": "replaced"},
            {"mask_share": 0, "context": "pair"},
        )
    )
    assert one == pytest.approx(3 * 1500, abs=2)  # three of ten tokens are such words
    assert several == pytest.approx(2 * 1500, rel=0.06)
    assert some == pytest.approx(1.36 * 1500, rel=0.06)
    assert pair == pytest.approx(2 * one, abs=2)


def test_a_teacher_of_one_s_own_is_only_scored(world: Path) -> None:
    teacher = tiny.write_classifier(world / "teacher", world / "model")
    given = {"model": str(teacher), "labels": ["fresh", "rotten"]}
    assert trained_tokens(planned(world, finetune_teacher=given).recipe, COUNTS)["finetune_teacher"] == 0


def test_only_the_first_unfinished_stage_waits_for_the_launch(world: Path) -> None:
    plan = planned(world)
    of_augmentation = estimates(plan, COUNTS, COSTS)["augment_data"].seconds
    publish(plan, "prepare_corpus", "pretrain_teacher", "finetune_teacher", "distill_general", "propose_candidates")
    found = estimates(planned(world), COUNTS, COSTS)
    assert next(iter(found)) == "augment_data"
    assert found["augment_data"].seconds == pytest.approx(of_augmentation + LAUNCH_SECONDS)


def test_the_corpus_is_counted_where_it_is_prepared_and_guessed_before(world: Path) -> None:
    plan = planned(world, prepare_corpus={"task_text": False})
    size = (world / "text.txt").stat().st_size
    assert size / 6 < corpus_tokens(plan, 0) < size / 3
    assert corpus_tokens(planned(world), 700) == corpus_tokens(plan, 0) + 700
