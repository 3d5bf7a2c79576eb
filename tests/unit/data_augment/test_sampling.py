"""The augmented dataset of any rows: what it holds, what its card says, and a kill while it is written."""

import importlib.metadata
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from datasets import ClassLabel, Features, Value, load_dataset

from data_augment.api import sample
from pipeline import PROJECT
from pipeline.artifacts.atomic import checksum
from pipeline.errors import UserError
from tests.helpers.alone import ROWS, run, texts_of


def test_more_variants_begin_with_the_same_ones(world: Path) -> None:
    found = {}
    for count in ("2", "5"):
        assert run(world, "sample", "--output", f"n{count}", "-n", count) == 0
        frame = pd.read_parquet(world / f"n{count}" / "data")
        found[count] = dict(zip(zip(frame["source_id"], frame["variant"], strict=True), frame["text"], strict=True))
    few = {key: text for key, text in found["5"].items() if key[1] <= 2}
    assert found["2"] == few != found["5"]


def test_features_of_the_rows_are_kept(world: Path, tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["bad", "good"])})
    rows = [{"text": text, "label": number % 2} for number, text in enumerate(texts_of(world))]
    candidates = world / "candidates"
    sample(rows, tmp_path / "out", candidates=candidates, text_columns=("text",), variants=1, features=features)
    found = load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))["train"]
    assert found.features["label"] == features["label"]


def test_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no row to augment"):
        sample([], tmp_path / "out", candidates=tmp_path, text_columns=("text",))


@pytest.mark.parametrize("column", ["id", "source_id", "variant", "replaced"])
def test_a_column_of_the_datasets_own_name_is_refused(world: Path, tmp_path: Path, column: str) -> None:
    rows = [{"text": text, column: "7"} for text in texts_of(world)]
    with pytest.raises(UserError, match=f"a column '{column}' of its own; leave yours out, or rename it"):
        sample(rows, tmp_path / "out", candidates=world / "candidates", text_columns=("text",))


def test_rows_from_an_iterator_give_the_same_dataset(world: Path, tmp_path: Path) -> None:
    rows = [{"text": text} for text in texts_of(world)]
    for name, given in {"list": rows, "iterator": iter(rows)}.items():
        sample(given, tmp_path / name, candidates=world / "candidates", text_columns=("text",), variants=3)
    files = [path.relative_to(tmp_path / "list") for path in (tmp_path / "list").rglob("*") if path.is_file()]
    assert len(files) == 2
    assert all((tmp_path / "list" / file).read_bytes() == (tmp_path / "iterator" / file).read_bytes() for file in files)


KILLED = """
import os, signal, sys
from data_augment import sampling

class Rows(list):
    passes = 0
    def __iter__(self):
        Rows.passes += 1
        for number, row in enumerate(super().__iter__()):
            if Rows.passes == 3 and number == 25:  # after the first row and the digests: in the third shard
                os.kill(os.getpid(), signal.SIGKILL)
            yield row

sampling.SHARD_EXAMPLES = 10
rows = Rows({"text": text} for text in sys.argv[3:])
sampling.sample(rows, sys.argv[2], candidates=sys.argv[1], text_columns=("text",), variants=3)
"""


def test_a_killed_sample_goes_on_from_the_last_shard(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, output = texts_of(world), tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, str(world / "candidates"), str(output), *texts]
    assert subprocess.run(command, cwd=PROJECT, check=False, capture_output=True).returncode == -signal.SIGKILL
    begun = tmp_path / ".killed.part" / "data"
    written = {path.name: path.stat().st_mtime_ns for path in begun.glob("*.parquet")}
    assert sorted(written) == ["train-00000-of-00004.parquet", "train-00001-of-00004.parquet"]

    monkeypatch.setattr("data_augment.sampling.SHARD_EXAMPLES", 10)
    settings = {"candidates": world / "candidates", "text_columns": ("text",), "variants": 3}
    rows = [{"text": text} for text in texts]
    shutil.copytree(begun.parent, tmp_path / ".another.part")
    for name in ("killed", "whole"):
        sample(rows, tmp_path / name, **settings)
    sample(rows, tmp_path / "another", **settings, seed=1)
    assert {name: (output / "data" / name).stat().st_mtime_ns for name in written} == written
    files = sorted(path.relative_to(output) for path in output.rglob("*"))
    assert files == sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*"))
    assert all((output / f).read_bytes() == (tmp_path / "whole" / f).read_bytes() for f in files if f.suffix)
    first = "data/train-00000-of-00004.parquet"
    assert (tmp_path / "another" / first).read_bytes() != (output / first).read_bytes()


def test_the_dataset_is_read_by_datasets_and_pandas(world: Path) -> None:
    assert run(world, "sample", "--output", "augmented", "--carry", "label") == 0
    rows = load_dataset(str(world / "augmented"), cache_dir=str(world / "cache"))["train"]
    frame = pd.read_parquet(world / "augmented/data")
    assert rows.column_names == list(frame.columns) == ["source_id", "text", "label", "variant", "replaced"]
    assert len(rows) == len(frame)
    originals = frame[frame.variant == 0]
    assert originals.text.tolist() == texts_of(world)
    assert len(frame) > 2 * ROWS
    assert (frame.groupby("source_id").label.nunique() == 1).all()


def test_the_card_says_what_the_dataset_is_made_from(world: Path) -> None:
    assert run(world, "sample", "--output", "carded", "--seed", "7") == 0
    card = (world / "carded" / "README.md").read_text()
    made = json.loads(card.split("```json")[1].split("```")[0])
    assert made["seed"] == 7 and made["replace"] == 0.4 and made["texts"] == ROWS
    checksums = made["candidates"]["masked_lm_sha256"]
    assert checksums.items() >= {("model.safetensors", checksum(world / "model" / "model.safetensors"))}
    assert {"config.json", "vocab.txt"} <= checksums.keys()
    assert made["candidates"]["vectors_sha256"] == {"vectors.txt": checksum(world / "vectors.txt")}
    assert made["candidates"]["context"] == "single"
    assert made["packages"]["datasets"] == importlib.metadata.version("datasets")


def test_texts_that_the_candidates_do_not_know_are_counted(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [*texts_of(world)[:3], "zzz", "yyy"]
    rows = [{"text": text, "label": "a"} for text in texts]
    sample(rows, tmp_path / "out", candidates=world / "candidates", text_columns=["text"])
    assert "warning: 2 of 5 texts have no candidates in" in capsys.readouterr().err


def test_candidates_that_are_not_there_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*/nosuch; give one that `propose` or propose_candidates"):
        sample([{"text": "a"}], tmp_path / "out", candidates=tmp_path / "nosuch", text_columns=["text"])
