"""Every kind of task through every stage, on a tiny model, in one process."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from pipeline.heads import HEADS
from pipeline.heads.embedding import new_projection
from tests import tiny
from tests.helpers.agreement import assert_alike, assert_same_answers, cosines
from tests.helpers.killed import kill_in
from tests.helpers.one_process import run_everything, run_recipe

COLUMNS: dict[str, Any] = {"kind": "question_answering", "text": "question", "text_pair": "context", "label": "answers"}

pytestmark = pytest.mark.slow


def test_every_stage_runs_on_questions(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.write_questions(world / "questions.json", rows=120, impossible=True)
    recipe = tiny.recipe(world)
    recipe["task"] = {**COLUMNS, "train": [str(world / "questions.json")], "max_length": 20, "window_overlap": 4}
    recipe["finetune_teacher"]["allow_majority"] = True
    run = run_everything(tiny.write_recipe(world / "recipe.yaml", recipe))
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert results["metric"] == "exact_match_and_f1" and set(results["student"]["parts"]) == {
        "exact_match",
        "answer_f1",
    }
    augmented = pq.read_table(run / "augment_data" / "data").to_pylist()
    assert any(row["replaced"] for row in augmented)
    for row in augmented:
        pairs = zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
        assert all(row["context"][start : start + len(text)] == text for text, start in pairs)
    logits = np.load(run / "annotate_data" / "logits.npy")
    assert logits.shape[1] == 2
    assert_same_answers(run, "question_answering", capsys, int8=0.5)


def test_every_stage_runs_on_several_labels_a_text(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.write_label_lists(world / "rows.csv")
    recipe = tiny.recipe(world)
    recipe["task"] = {"kind": "multi_label", "train": [str(world / "rows.csv")], "label_separator": "|"}
    recipe["task"] |= {"metric": "macro_f1", "thresholds": "each", "max_length": 32}
    recipe["finetune_teacher"]["epochs"] = 10
    recipe["export_student"]["largest_loss"] = 1  # 16 rows choose the thresholds
    path = tiny.write_recipe(world / "recipe.yaml", recipe)
    kill_in(path, "finetune_teacher")
    run = run_everything(path)
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert results["teacher"]["score"] > 0.6 and results["student"]["score"] > 0.4
    assert set(results["student"]["all_scores"]) == {"micro_f1", "macro_f1", "sample_f1", "mean_average_precision"}
    rows = pq.read_table(run / "augment_data" / "data").to_pylist()
    originals = {row["source_id"]: row["label"] for row in rows if row["variant"] == 0}
    assert [] in originals.values() and any(row["variant"] for row in rows)
    assert all(row["label"] == originals[row["source_id"]] for row in rows)
    config = json.loads((run / "export_student" / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification" and set(config["thresholds"]) == {
        "good",
        "bad",
        "long",
    }
    assert_same_answers(run, "multi_label", capsys, int8=0.8)


def test_every_stage_runs_on_tags_and_variants_keep_theirs(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = tiny.write_tagged(world / "rows.conll").read_text(encoding="utf-8")
    for word, other in {"unwatchable\t": "u.s.\t", "joke\t": "joke-cast\t", "actor\t": "@actor\t"}.items():
        content = content.replace(word, other)
    (world / "rows.conll").write_text(content, encoding="utf-8")
    recipe = tiny.recipe(world)
    recipe["task"] = {"kind": "token_classification", "train": [str(world / "rows.conll")], "max_length": 32}
    recipe["augment_data"] = {"variants": 2, "protect_entities": True}
    run = run_everything(tiny.write_recipe(world / "recipe.yaml", recipe))
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert results["metric"] == "entity_f1" and results["teacher"]["score"] > 0.5
    rows = pq.read_table(run / "augment_data" / "data").to_pylist()
    originals = {row["source_id"]: row for row in rows if row["variant"] == 0}
    varied = [row for row in rows if row["variant"]]
    assert varied
    for row in varied:
        original = originals[row["source_id"]]
        assert row["label"] == original["label"]
        pairs = zip(row["text"].split(" "), original["text"].split(" "), row["label"], strict=True)
        changed = [tag for new, old, tag in pairs if new != old]
        assert len(changed) == len(row["replaced"]) and not any(changed)
    logits = np.load(run / "annotate_data" / "logits.npy")
    assert logits.shape[1] == 3 and len(logits) > len(rows)
    assert_same_answers(run, "token_classification", capsys, int8=0.7)


@pytest.mark.parametrize("projected", [True, False])
def test_every_stage_runs_on_pairs_with_scores(world: Path, projected: bool) -> None:
    tiny.write_rows(world / "pairs.csv", rows=80, pair=True, regression=True)
    recipe = tiny.recipe(world)
    recipe["task"] = {"kind": "embedding", "train": [str(world / "pairs.csv")], "text_pair": "other", "max_length": 32}
    recipe["finetune_teacher"] = {"epochs": 0, "allow_majority": True}
    recipe["student"]["project_embedding"] = projected
    run = run_everything(tiny.write_recipe(world / "recipe.yaml", recipe))
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert results["metric"] == "spearman"
    assert (run / "distill_predictions" / "2_Dense" / "model.safetensors").is_file() == projected
    vectors = np.load(run / "annotate_data" / "logits.npy")
    rows = pq.read_table(run / "augment_data" / "data").to_pylist()
    assert vectors.shape == (len(rows) + sum(row["variant"] == 0 for row in rows), 24)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-4)
    found = pq.read_table(run / "evaluate_student" / "predictions.parquet").to_pylist()
    for onnx in (False, True):
        exported = cosines(run / "export_student", [row["texts"] for row in found], onnx=onnx)
        assert_alike([row["student"] for row in found], exported, 1)


@pytest.mark.parametrize("start_from", ["backbone", "task_teacher"])
def test_a_student_learns_the_vectors_of_a_teacher_with_a_layer_on_top(world: Path, start_from: str) -> None:
    tiny.write_rows(world / "pairs.csv", rows=80, pair=True, regression=True)
    teacher: Any = HEADS["embedding"].load(world / "model", label_names=(), new_head=True)
    teacher.project(new_projection(torch.randn(10, 24, generator=torch.Generator().manual_seed(0))))
    HEADS["embedding"].save(teacher, world / "encoder", tokenizer_of=world / "model")
    recipe = tiny.recipe(world)
    recipe["pretrain_teacher"]["epochs"] = recipe["distill_general"]["epochs"] = recipe["augment_data"]["variants"] = 0
    recipe["task"] = {"kind": "embedding", "train": [str(world / "pairs.csv")], "text_pair": "other", "max_length": 32}
    recipe["finetune_teacher"] = {"epochs": 0, "model": str(world / "encoder"), "allow_majority": True}
    recipe["student"] |= {"start": "fitted", "start_from": start_from}
    run = run_recipe(tiny.write_recipe(world / "recipe.yaml", recipe), last="evaluate_student").run_folder
    assert np.load(run / "annotate_data" / "logits.npy").shape[1] == 10
    width = recipe["student"]["width"]
    for stage, inner in (("finetune_teacher", 24), ("distill_layers/student", width), ("distill_predictions", width)):
        dense = json.loads((run / stage / "2_Dense/config.json").read_text(encoding="utf-8"))
        assert (dense["in_features"], dense["out_features"]) == (inner, 10)


@pytest.mark.parametrize("copied", [False, True])
def test_scores_far_from_0_are_learnt(world: Path, copied: bool) -> None:
    table = pd.read_csv(tiny.write_rows(world / "scores.csv", rows=300, regression=True))
    table["label"] = 100_000 + 15_000 * table["label"]
    table.to_csv(world / "scores.csv", index=False)
    recipe = tiny.recipe(world)
    recipe["task"] = {"kind": "regression", "train": [str(world / "scores.csv")], "max_length": 32}
    recipe["finetune_teacher"]["epochs"] = recipe["distill_predictions"]["epochs"] = 8
    if copied:
        recipe["distill_general"]["epochs"] = 0
        recipe["student"] |= {
            "width": 24,
            "heads": 2,
            "start": "layers",
            "start_layers": "bottom",
            "start_from": "task_teacher",
        }
    run = run_everything(tiny.write_recipe(world / "recipe.yaml", recipe), last="evaluate_student")
    results = json.loads((run / "evaluate_student" / "results.json").read_text())
    assert results["teacher"]["score"] > 0.7 and results["student"]["score"] > 0.7
    predicted = pd.read_parquet(run / "evaluate_student" / "predictions.parquet")
    # Of a student that is random at first an early epoch, its scores still close together, can correlate best.
    for role, spread in {"teacher": 5_000, "student": 5_000 if copied else 0}.items():
        found = predicted[role].to_numpy()
        assert 90_000 < found.min() < found.max() - spread < 180_000


def test_every_stage_runs_without_augmentation_corpus_and_vectors(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny.recipe(world)
    recipe["pretrain_teacher"]["epochs"] = recipe["distill_general"]["epochs"] = 0
    recipe["propose_candidates"]["vectors"] = None
    recipe["augment_data"]["variants"] = 0
    run = run_everything(tiny.write_recipe(world / "recipe.yaml", recipe))
    assert json.loads((run / "results.json").read_text())["metric"] == "accuracy"
    assert_same_answers(run, "classification", capsys)


def test_every_stage_runs_on_pairs_whose_teacher_learns_the_scores(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.write_rows(world / "rows.csv", pair=True, regression=True)
    recipe = tiny.recipe(world)
    recipe["task"] |= {"text_pair": "other", "kind": "regression"}
    recipe["finetune_teacher"]["epochs"] = 3
    run = run_everything(tiny.write_recipe(world / "recipe.yaml", recipe))
    assert json.loads((run / "results.json").read_text())["metric"] == "pearson_and_spearman"
    assert_same_answers(run, "regression", capsys)
