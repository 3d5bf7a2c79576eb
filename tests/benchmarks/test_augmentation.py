"""The benchmarks of augmentation: what is run for each number of variants, and the table; numbered texts."""

import json
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import augmentation, sampling
from data_augment.candidates_folder import SCHEMA, read_candidates, shard_path, write_candidates


def test_every_number_of_variants_is_run_at_equal_steps_and_some_at_equal_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, str]] = []

    def run(recipe: Path, arguments: list[str]) -> Any:
        asked.append(dict(zip(arguments[::2], arguments[1::2], strict=True)))
        score = 0.8 + 0.01 * int(asked[-1]["--seed"])
        folder = tmp_path / asked[-1]["--name"]
        folder.mkdir()
        results = {"student": {"score": score}, "kept": 0.9, "agreement": 0.95}
        (folder / "results.json").write_text(json.dumps(results))
        return SimpleNamespace(run_folder=folder)

    monkeypatch.setattr(augmentation, "run", run)
    words = ["--recipe", "r.yaml", "--seeds", "0", "2", "--variants", "0", "5", "--equal-epochs", "5"]
    monkeypatch.setattr(sys, "argv", ["x", *words, "--json", str(tmp_path / "j.json"), "--task.max_length", "32"])
    augmentation.main()
    covers = [(each["--augment_data.variants"], each["--distill_layers.epoch_covers"]) for each in asked]
    assert covers == [("0", "originals")] * 2 + [("5", "originals")] * 2 + [("5", "augmented")] * 2
    assert {each["--task.max_length"] for each in asked} == {"32"}
    assert len({each["--name"] for each in asked}) == 6
    rows = json.loads((tmp_path / "j.json").read_text())
    assert [row["mean"] for row in rows] == [pytest.approx(0.81)] * 3
    assert capsys.readouterr().out.splitlines()[-1].split() == [
        "5", "epochs", "0.8000", "0.8200", "0.8100", "0.0141", "90.0%", "95.0%",
    ]  # fmt: skip


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
