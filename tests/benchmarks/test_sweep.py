"""The sweep over settings: what is run for each combination, and the table; numbered texts of `sampling`."""

import json
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import sampling, sweep
from data_augment.candidates_folder import SCHEMA, read_candidates, shard_path, write_candidates
from pipeline import PROJECT
from pipeline.errors import UserError, WorkFailed


def test_every_combination_is_run_with_every_seed_and_tabulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, str]] = []
    curve = [{"step": 10, "embedding": 1.0, "hidden_1": 2.0}, {"step": 20, "embedding": 0.5, "hidden_1": 1.0}]

    def write(folder: Path, *, fingerprint: str, seconds: float, results: Any, **metrics: Any) -> Any:
        folder.mkdir(parents=True, exist_ok=True)
        written = {"fingerprint": fingerprint, "seconds": seconds, "start_seconds": 0.5, "metrics": metrics}
        (folder / "stage.json").write_text(json.dumps(written))
        (folder / "results.json").write_text(json.dumps(results))
        return SimpleNamespace(artifact=SimpleNamespace(folder=folder))

    def run(recipe: Path, arguments: list[str], *options: str) -> Any:
        assert options == ("--until", "evaluate_student")
        asked.append(dict(zip(arguments[::2], arguments[1::2], strict=True)))
        seed, epochs = int(asked[-1]["--seed"]), asked[-1]["--distill_layers.epochs"]
        score = 0.8 + 0.01 * seed
        student = {"score": score, "scores": {"test": score}}
        results = {"teacher": {"score": 0.9}, "student": student, "kept": score / 0.9, "agreement": 0.95}
        made = {
            "pretrain_teacher": write(tmp_path / "p", fingerprint="same", seconds=100, results={}),
            "distill_layers": write(tmp_path / "l", fingerprint="same", seconds=9, results={}, curve=curve),
            "distill_predictions": write(
                tmp_path / "d", fingerprint="same", seconds=9, results={}, dev_score=0.85, dev_scores=[0.84, 0.85]
            ),
            "evaluate_student": write(
                tmp_path / asked[-1]["--name"], fingerprint=epochs, seconds=2 * int(epochs), results=results
            ),
        }
        return SimpleNamespace(stages=made)

    monkeypatch.setattr(sweep, "run", run)
    monkeypatch.setattr(sweep, "load_recipe", lambda *_: None)
    words = ["--recipe", "r.yaml", "--seeds", "0", "2", "--vary", "distill_layers.epochs", "1", "3"]
    words += ["--vary", "student.start", "fitted", "--json", str(tmp_path / "j.json"), "--task.max_length", "32"]
    monkeypatch.setattr(sys, "argv", ["x", *words])
    sweep.main()
    assert [(each["--distill_layers.epochs"], each["--seed"]) for each in asked] == [
        ("1", "0"), ("1", "2"), ("3", "0"), ("3", "2"),
    ]  # fmt: skip
    assert {(each["--task.max_length"], each["--student.start"]) for each in asked} == {("32", "fitted")}
    assert asked[0]["--name"] == "r-sweep-epochs-1-start-fitted-seed-0" and len({a["--name"] for a in asked}) == 4
    rows = json.loads((tmp_path / "j.json").read_text())
    assert [row["mean"] for row in rows] == [pytest.approx(0.81)] * 2
    assert [row["seconds"] for row in rows] == [2.5, 6.5]  # what both share is left out
    assert rows[0]["curves"] == {"steps": [10, 20], "layer_loss": [3.0, 1.5], "dev_scores": [0.84, 0.85]}
    said = capsys.readouterr().out.splitlines()
    assert said[-1].split("|")[1:-1] == [
        " 3 ", " fitted ", " 0.8000 0.8200 ", " 0.9000 0.9000 ", " 0.8100 ", " 0.0141 ", " 90.0% ", " 95.0% ",
        " 0.8500 ", " 6 ",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "runs"), [([], 0), (["--student.start_from", "backbone", "--distill_layers.attention", "1"], 1)]
)
def test_every_combination_is_a_recipe_before_the_first_one_runs(
    overrides: list[str], runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def run(recipe: Path, *_: Any) -> None:
        asked.append(recipe)
        raise WorkFailed("it stops here")

    monkeypatch.setattr(sweep, "run", run)
    words = ["--recipe", str(PROJECT / "recipes/stsb.yaml"), "--vary", "student.start", "fitted", "random", *overrides]
    monkeypatch.setattr(sys, "argv", ["x", *words])
    with pytest.raises(WorkFailed if runs else UserError):
        sweep.main()
    assert len(asked) == runs
    assert not runs or " ".join(overrides) in " ".join((sweep.__doc__ or "").split())


def test_one_seed_has_no_deviation() -> None:
    results = {"teacher": {"score": 0.9}, "student": {"score": 0.8}, "kept": 0.9, "agreement": 0.95}
    run = {
        "pretrain_teacher": {"metrics": {}, "seconds": 1, "start_seconds": 0},
        "distill_layers": {"metrics": {"curve": []}, "seconds": 1, "start_seconds": 0},
        "distill_predictions": {
            "metrics": {"dev_score": 0.8, "dev_scores": [0.8]},
            "seconds": 1,
            "start_seconds": 0,
        },
        "evaluate_student": {"results": results, "seconds": 1, "start_seconds": 0},
    }
    row = sweep._row({}, [run], ["distill_layers"])
    assert row["deviation"] is None
    assert " 0.8000 | - | 90.0% |" in sweep.table([row])


def test_a_setting_without_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "--vary", "distill_layers.epochs"])
    with pytest.raises(SystemExit, match="2"):
        sweep.main()


def test_sample_is_measured_on_numbered_texts(tmp_path: Path) -> None:
    row = {
        "start": 2,
        "end": 6,
        "word": "film",
        "source": "vectors",
        "candidates": ["movie", "story"],
        "scores": [1, 0],
    }
    for index in range(2):
        table = partial(pa.Table.from_pylist, [{**row, "text": f"a film {'abc'[index]}"}], schema=SCHEMA)
        write_candidates(table, shard_path(tmp_path / "candidates", index=index, count=2))
    (tmp_path / "numbered").mkdir()
    sampling.write_numbered(tmp_path / "candidates", tmp_path / "numbered", 3)
    assert pq.read_table(tmp_path / "numbered" / "rows.parquet")["text"].to_pylist() == [
        "a film a 0",
        "a film b 0",
        "a film a 1",
    ]
    assert set(read_candidates(tmp_path / "numbered")) == {"a film a 0", "a film b 0", "a film a 1", "a film b 1"}
    figures = sampling.measure(tmp_path / "candidates", 3, 50)
    assert figures["sentences"] == 3
    assert 3 <= figures["variants"] <= 6  # two candidates for one word
    assert figures["peak_memory"] > 10**7


def test_what_is_not_known_of_a_seed_has_no_mean() -> None:
    assert sweep.mean_or_none([0.9, 1.0]) == pytest.approx(0.95)
    assert sweep.mean_or_none([0.9, None]) is None  # a teacher that learnt too little keeps nothing
