"""What the rows of a table carry along: numbers, lists, text, and what is missing."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from datasets import List, Value, load_dataset

from tests.helpers.alone import run, texts_of


def test_a_label_that_is_missing_stays_missing(world: Path) -> None:
    lines = [{"text": text, "label": None if number else "fresh"} for number, text in enumerate(texts_of(world))]
    (world / "some.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run(world, "sample", "--input", "some.jsonl", "--output", "missing", "--carry", "label") == 0
    frame = pd.read_parquet(world / "missing/data")
    assert set(frame[frame.source_id == 0].label) == {"fresh"}
    assert frame[frame.source_id > 0].label.isna().all()


@pytest.mark.parametrize(
    ("labels", "feature", "expected"),
    [
        ([1, 2.5, None], Value("float64"), [1.0, 2.5, None]),
        ([4, None, 2], Value("int64"), [4, None, 2]),
        ([["a", "b"], [], None], List(Value("string")), [["a", "b"], [], None]),
        ([[1], [], [2, 3]], List(Value("int64")), [[1], [], [2, 3]]),
        ([1, "b", None], Value("string"), ["1", "b", None]),
        ([True, None, False], Value("string"), ["True", None, "False"]),
        ([None, None, None], Value("string"), [None, None, None]),
    ],
)
def test_numbers_and_lists_that_are_carried_stay_such(
    world: Path, tmp_path: Path, labels: list[Any], feature: Any, expected: list[Any]
) -> None:
    lines = [{"text": text, "label": label} for text, label in zip(texts_of(world), labels, strict=False)]
    (world / "typed.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    output = str(tmp_path / "typed")
    assert run(world, "sample", "--input", "typed.jsonl", "--output", output, "--carry", "label") == 0
    found: Any = load_dataset(output, cache_dir=str(tmp_path / "cache"))["train"]
    assert found.features["label"] == feature
    assert [row["label"] for row in found if row["variant"] == 0] == expected
