"""A teacher that is there only as the probabilities it gave, through every stage, killed once in the middle."""

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipeline.tasks.classification import softmax
from tests import tiny
from tests.helpers.killed import kill_in
from tests.helpers.one_process import run_recipe

pytestmark = pytest.mark.slow


def short_recipe(world: Path) -> dict[str, Any]:
    """The tiny recipe without a corpus and word vectors."""
    recipe = tiny.recipe(world)
    for stage in ("pretrain_teacher", "distill_general"):
        recipe[stage]["epochs"] = 0
    recipe["propose_candidates"]["vectors"] = None
    recipe["augment_data"]["variants"] = 1
    recipe["finetune_teacher"]["epochs"] = 6
    return recipe


def write_soft(path: Path, *, rows: int = 160, hard: float = 0.0, soft: float = 1.0, seed: int = 0) -> Path:
    """Reviews with the probability of `fresh`, and shares of the rows that have a label, and soft labels."""
    source = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "p_fresh", "p_rotten"])
        for _ in range(rows):
            good = source.random() < 0.5
            is_hard, is_soft = source.random() < hard, source.random() < soft
            fresh = source.uniform(0.75, 0.98) if good else source.uniform(0.02, 0.25)
            label = ("fresh" if good else "rotten") if is_hard or not is_soft else ""
            given = [f"{fresh:.4f}", f"{1 - fresh:.4f}"] if is_soft else ["", ""]
            writer.writerow([tiny.sentence(source, tiny.GOOD if good else tiny.BAD), label, *given])
    return path


@pytest.mark.parametrize("mixed", [False, True])
def test_every_stage_runs_on_soft_labels(world: Path, mixed: bool) -> None:
    recipe = short_recipe(world)
    recipe["task"]["soft_labels"] = {"rotten": "p_rotten", "fresh": "p_fresh"}
    write_soft(world / "rows.csv", hard=0.6 if mixed else 0.0, soft=0.7 if mixed else 1.0)
    if mixed:
        write_soft(world / "more.csv", rows=40, soft=0.5, seed=1)
        recipe["task"]["unlabelled"] = [str(world / "more.csv")]
    path = tiny.write_recipe(world / "recipe.yaml", recipe)
    kill_in(path, "finetune_teacher")
    plan = run_recipe(path, last="evaluate_student")
    results = json.loads((plan.run_folder / "evaluate_student" / "results.json").read_text())
    assert results["labels"] == ["rotten", "fresh"] and results["teacher"]["score"] > 0.8
    if mixed:
        assert "given_teacher" not in results  # it did not answer every test row
    else:
        assert results["given_teacher"]["score"] == 1.0  # its own answers stand for the labels
        assert results["given_teacher"]["kept"] == results["student"]["score"]
    given = pd.concat(pd.read_csv(file) for file in sorted(world.glob("*r*s.csv")) + sorted(world.glob("more.csv")))
    fresh = dict(zip(given["text"], given["p_fresh"], strict=True))
    rows = pq.read_table(plan.run_folder / "augment_data" / "data").to_pylist()
    logits = np.load(plan.run_folder / "annotate_data" / "logits.npy")
    learnt = softmax(logits)[:, 1]
    of_soft = [n for n, row in enumerate(rows) if row["variant"] == 0 and not np.isnan(fresh[row["text"]])]
    assert 0 < len(of_soft) < len(rows)
    np.testing.assert_allclose(learnt[of_soft], [fresh[rows[n]["text"]] for n in of_soft], atol=1e-3)
    others = sorted(set(range(len(rows))) - set(of_soft))
    assert abs(logits[others].sum(axis=1)).max() > 1e-4  # the fine-tuned teacher's, which are not centred


def test_soft_labels_may_be_those_of_unlabelled_rows_alone(world: Path) -> None:
    recipe = short_recipe(world)
    write_soft(world / "more.csv", rows=40, seed=1)
    recipe["task"] |= {
        "soft_labels": {"rotten": "p_rotten", "fresh": "p_fresh"},
        "unlabelled": [str(world / "more.csv")],
    }
    plan = run_recipe(tiny.write_recipe(world / "recipe.yaml", recipe), last="evaluate_student")
    results = json.loads((plan.run_folder / "evaluate_student" / "results.json").read_text())
    assert results["labels"] == ["rotten", "fresh"] and results["teacher"]["score"] > 0.8


def test_every_stage_runs_on_given_vectors(world: Path) -> None:
    source, random_ = random.Random(3), np.random.default_rng(3)
    words = {word: random_.normal(size=10) for word in (*tiny.GOOD, *tiny.BAD, *tiny.NOUNS)}
    lines = []
    for _ in range(80):
        pair = [tiny.sentence(source, source.choice([tiny.GOOD, tiny.BAD])) for _ in range(2)]
        vectors = [np.sum([words[word] for word in text.split() if word in words], axis=0).tolist() for text in pair]
        lines.append({"text": pair[0], "other": pair[1], "a": vectors[0], "b": vectors[1]})
    (world / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    recipe = short_recipe(world)
    recipe["task"] = {
        "kind": "embedding",
        "train": [str(world / "pairs.jsonl")],
        "text_pair": "other",
        "max_length": 32,
    }
    recipe["task"]["soft_labels"] = {"text": "a", "other": "b"}
    recipe["finetune_teacher"] |= {"epochs": 4, "allow_majority": True}
    plan = run_recipe(tiny.write_recipe(world / "recipe.yaml", recipe), last="evaluate_student")
    results = json.loads((plan.run_folder / "evaluate_student" / "results.json").read_text())
    assert results["given_teacher"]["score"] == pytest.approx(1)  # its own cosines stand for the scores
    assert results["teacher"]["score"] > 0.5
    rows = pq.read_table(plan.run_folder / "augment_data" / "data").to_pylist()
    logits = np.load(plan.run_folder / "annotate_data" / "logits.npy")
    assert logits.shape[1] == 10 and rows[0]["variant"] == 0
    given = {line["text"]: line["a"] for line in lines}[rows[0]["text"]]
    np.testing.assert_allclose(logits[0], np.array(given) / np.linalg.norm(given), atol=1e-5)
    for stage in ("finetune_teacher", "distill_predictions"):
        dense = json.loads((plan.run_folder / stage / "2_Dense" / "config.json").read_text())
        assert dense["out_features"] == 10
