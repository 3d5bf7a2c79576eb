"""The benchmark of starts: each start is measured, and the fitted one is nearest to the teacher."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import BertConfig, BertModel

from benchmarks import fit
from pipeline.config.student import Student
from pipeline.models.attention import ATTENTION


def test_every_start_is_measured_and_the_fitted_one_is_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "HELD_OUT", 4)
    config = BertConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=32,
    )  # fmt: skip
    config._attn_implementation = ATTENTION
    teacher = BertModel(config, add_pooling_layer=False).eval()
    sizes = Student(layers=2, width=16, feed_forward=32, heads=2, start_from="task_teacher")
    random = np.random.default_rng(0)
    blocks = [random.integers(5, 60, 24) for _ in range(30)]
    figures = {start: fit.measure(start, sizes, teacher, blocks) for start in fit.STARTS}
    for found in figures.values():
        assert found["tokens"] == 26 * 24
        assert found["peak_memory"] > 0
        assert {"embedding", "hidden_1", "hidden_2", "attention_1", "attention_2"} <= found.keys()
    for loss in ("embedding", "hidden_2", "attention_2"):
        assert figures["fitted"][loss] < figures["random"][loss]


def test_each_start_is_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(words: list[str], **_: Any) -> None:
        start, path = (words[words.index(option) + 1] for option in ("--start", "--json"))
        Path(path).write_text(json.dumps({start: {"peak_memory": len(asked), "seconds": 1.0}}))
        asked.append(start)

    monkeypatch.setattr(fit.subprocess, "run", run)
    monkeypatch.setattr("sys.argv", ["fit", "--json", str(tmp_path / "f.json")])
    fit.main()
    assert asked == list(fit.STARTS)
    assert [found["peak_memory"] for found in json.loads((tmp_path / "f.json").read_text()).values()] == [0, 1, 2, 3]


def test_the_table_has_a_column_for_each_start(capsys: pytest.CaptureFixture[str]) -> None:
    fit.show({start: {"embedding": 0.5, "peak_memory": 2e9} for start in ("random", "fitted")})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == [["random", "fitted"], ["embedding", "0.500", "0.500"]]
    assert lines[2:] == [["peak_memory", "2.000", "GB", "2.000", "GB"]]
