"""What the report says of a run, read from its folder."""

from pathlib import Path

import pytest

from pipeline.report.page import disagreements, predictions
from pipeline.report.plots import confusion_counts
from pipeline.report.run_summary import RunSummary, machine_of_latencies, read_run_summary
from tests.helpers.published import EXPORTED, write_manifest
from tests.helpers.reported import CASES, LAYERS


def test_the_surest_disagreements_come_first(run: Path) -> None:
    rows = predictions(read_run_summary(run))
    assert [row["texts"][0] for row in disagreements(rows)] == ["<b>5 < 6</b> & more", "a close call"]


def test_the_confusion_matrix_counts_labels_by_answers() -> None:
    assert confusion_counts(CASES, "student", ["good", "bad"]) == [[1, 1], [1, 1]]
    assert confusion_counts(CASES, "teacher", ["good", "bad"]) == [[2, 0], [0, 2]]


def test_curves_are_split_by_objective_and_layer() -> None:
    run = RunSummary(folder=Path(), stages={LAYERS[0]: {"metrics": LAYERS[1]}}, results=None, recipe="")
    found = run.curves(LAYERS[0])
    assert {objective: list(layers) for objective, layers in found.items()} == {"hidden": ["1", "2"], "embedding": [""]}
    assert found["hidden"]["2"] == ([2, 4, 6], [1.0, 0.5, pytest.approx(1 / 3)])


def test_a_stage_of_an_earlier_run_is_left_out(run: Path) -> None:
    write_manifest(run / "finetune_teacher", seconds=3.5)  # another teacher: what was built on it is stale
    assert list(read_run_summary(run).stages) == ["finetune_teacher", "augment_data"]


def test_latencies_are_of_the_machine_that_exported_where_a_file_ships() -> None:
    evaluated = {"machine": "x86_64, 2 threads, cuda"}
    assert machine_of_latencies({}, evaluated) == "x86_64, 2 threads, cuda"
    assert machine_of_latencies(EXPORTED, evaluated) == "aarch64, 8 threads, cpu"
