"""What is augmented, kept and reused, from the artifacts of the finished run."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_augment.candidates_folder import SCHEMA, shard_path, write_candidates
from data_augment.card import Statistics
from pipeline.config.data import AugmentData
from stages.augment_data import warn_of_no_variant, without_effect
from tests.helpers.commands import copy_artifacts
from tests.helpers.one_process import make_stage, run_recipe

pytestmark = pytest.mark.slow


def run_here(world: Path, folder: Path, *overrides: str) -> Path:
    """Run a recipe on the artifacts in `folder/a` until the data are annotated; returns the folder of the run."""
    places = ["--run.artifacts", str(folder / "a"), "--run.runs", str(folder / "r")]
    return run_recipe(world / "recipe.yaml", *places, *overrides, last="annotate_data").run_folder


def test_variants_that_the_teacher_answers_otherwise_are_left_out(
    finished: Path, run_world: Path, tmp_path: Path
) -> None:
    copy_artifacts(finished, tmp_path / "a", until="augment_data")
    run = run_here(run_world, tmp_path, "--augment_data.same_answer", "true")
    kept, everything = answers_of(run), answers_of(finished)
    original = {source: answer for source, variant, answer in everything if variant == 0}
    assert kept == [row for row in everything if row[2] == original[row[0]]]
    metrics = json.loads((run / "augment_data" / "stage.json").read_text())["metrics"]
    share = (len(kept) - len(original)) / (len(everything) - len(original))
    assert metrics["same_answer_share"] == pytest.approx(share)
    assert share < 1


def test_with_one_variant_the_words_that_have_candidates_are_those_that_it_replaces(
    finished: Path, run_world: Path, tmp_path: Path
) -> None:
    copy_artifacts(finished, tmp_path / "a", until="pretrain_teacher")
    run = run_here(run_world, tmp_path, "--propose_candidates.words", "replaced", "--augment_data.variants", "1")
    some, every = (pd.read_parquet(folder / "propose_candidates" / "data") for folder in (run, finished))
    assert {*zip(some.text, some.start, strict=True)} < {*zip(every.text, every.start, strict=True)}
    metrics = json.loads((run / "propose_candidates" / "stage.json").read_text())["metrics"]
    assert metrics["texts_with_candidates"] == some.text.nunique()
    assert metrics["words"] == some.source.value_counts().sort_index().to_dict()
    assert len(some) / len(every) == pytest.approx(0.4, abs=0.15)  # augment_data.replace, of few words
    rows = pd.read_parquet(run / "augment_data" / "data")
    places = {text: sorted(found.start) for text, found in some.groupby("text")}
    variants = rows[rows.variant == 1]
    assert len(variants)
    originals = rows[rows.variant == 0].set_index("source_id").text
    for source, replaced in zip(variants.source_id, variants.replaced, strict=True):
        assert [word["start"] for word in replaced] == places[originals[source]]


def answers_of(run: Path) -> list[tuple[int, int, int]]:
    """source_id, variant and the teacher's answer of each augmented row of a run."""
    frame = pd.read_parquet(run / "augment_data" / "data")
    answers = np.load(run / "annotate_data" / "logits.npy").argmax(axis=1)
    return list(zip(frame["source_id"].tolist(), frame["variant"].tolist(), answers.tolist(), strict=True))


def test_another_run_trains_on_an_augmented_dataset_that_exists(
    finished: Path, run_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_artifacts(finished, tmp_path / "a", until="propose_candidates")
    reuse = ["--augment_data.reuse", str(finished / "augment_data")]
    run = run_here(run_world, tmp_path, *reuse, "--augment_data.replace", "0.3")
    assert "so augment_data.variants, augment_data.replace of the recipe has no effect" in capsys.readouterr().err
    assert not (tmp_path / "a" / "propose_candidates").exists()
    logits = "annotate_data/logits.npy"
    assert (run / logits).read_bytes() == (finished / logits).read_bytes()


def test_a_stage_without_a_variant_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    candidates = tmp_path / "candidates"
    write_candidates(SCHEMA.empty_table, shard_path(candidates, index=0, count=1))
    (candidates / "stage.json").write_text(json.dumps({"metrics": {"languages": ["zh"]}}))
    stage = replace(make_stage(tmp_path), upstream={"propose_candidates": candidates})
    warn_of_no_variant(stage, Statistics(originals=78, variants=1))
    assert capsys.readouterr().err == ""
    warn_of_no_variant(stage, Statistics(originals=78))
    said = capsys.readouterr().err
    assert "warning: no variant of 78 examples: no word has a candidate. The language was taken for zh" in said


def test_the_settings_that_a_reused_dataset_leaves_without_effect_are_named() -> None:
    assert without_effect(AugmentData(reuse="a")) == []
    assert without_effect(AugmentData(reuse="a", replace=0.3, protect_entities=True)) == [
        "augment_data.replace",
        "augment_data.protect_entities",
    ]
