"""Word replacement without the pipeline: from a command line, and as two functions."""

import csv
import importlib.metadata
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from datasets import ClassLabel, Features, Value, load_dataset

from data_augment.__main__ import main
from data_augment.api import propose, sample
from data_augment.candidates_folder import read_candidates
from data_augment.provenance import candidates_provenance
from pipeline import PROJECT
from pipeline.artifacts.atomic import checksum
from pipeline.errors import UserError
from tests.tiny import write_model, write_rows, write_vectors

ROWS = 40


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked LM, vectors, a table, and the candidates of its texts."""
    folder = tmp_path_factory.mktemp("alone")
    write_model(folder / "model")
    write_vectors(folder / "vectors.txt")
    write_rows(folder / "rows.csv", rows=ROWS)
    no_tokenizer = shutil.ignore_patterns("tokenizer*", "vocab.txt")
    shutil.copytree(folder / "model", folder / "no_tokenizer", ignore=no_tokenizer)
    assert run(folder, "propose", "--output", "candidates") == 0
    return folder


def run(world: Path, command: str, *options: str) -> int:
    """A command on the table of the world; paths in options are relative to it."""
    given = {"--input": "rows.csv"}
    if command == "propose":
        given |= {"--masked-lm": "model", "--vectors": "vectors.txt", "-k": "4", "--precision": "fp32"}
    else:
        given |= {"--candidates": "candidates", "-n": "3"}
    given |= dict(zip(options[::2], options[1::2], strict=True))
    paths = ("--input", "--masked-lm", "--vectors", "--output", "--candidates")
    words = [word for name, value in given.items() for word in (name, str(world / value) if name in paths else value)]
    return main([command, *words])


def texts_of(world: Path) -> list[str]:
    with (world / "rows.csv").open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("name", ["data/*.parquet", "settings.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"PAR1\xff\xffPAR1"])
def test_damaged_candidates_are_one_sentence(
    world: Path, tmp_path: Path, name: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    candidates = shutil.copytree(world / "candidates", tmp_path / "candidates")
    damaged = next(candidates.glob(name))
    damaged.write_bytes(content)
    assert run(world, "sample", "--candidates", str(candidates), "--output", str(tmp_path / "augmented")) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {damaged} is damaged")


def test_without_a_variant_the_command_says_why(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (world / "zh.csv").write_text("text\n这家酒店很好\n服务态度很差\n", encoding="utf-8")
    assert run(world, "propose", "--input", "zh.csv", "--output", "zh", "--language", "zh") == 0
    assert "language: zh (as given)" in capsys.readouterr().err
    assert run(world, "sample", "--input", "zh.csv", "--candidates", "zh", "--output", "zh_augmented") == 0
    said = capsys.readouterr()
    assert "2 originals, 0 variants" in said.out
    assert "warning: no variant of 2 examples: no word has a candidate. The language was taken for zh" in said.err
    assert run(world, "sample", "--output", "none_replaced", "-p", "0") == 0
    assert "each one was left out ({'equal_to_original': 120})" in capsys.readouterr().err


def test_chinese_texts_under_another_language_are_refused(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (world / "zh.csv").write_text("text\n这家酒店很好\n", encoding="utf-8")
    assert run(world, "propose", "--input", "zh.csv", "--output", "zh_en", "--language", "en") == 2
    assert "is en, but 1 of 1 texts are written without blanks" in capsys.readouterr().err


def test_a_reader_of_show_may_go(world: Path, tmp_path: Path) -> None:
    assert run(world, "sample", "--output", str(tmp_path / "augmented")) == 0
    show = f"{sys.executable} -m data_augment show {tmp_path}/augmented | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", show], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    next((tmp_path / "augmented/data").glob("*")).write_bytes(b"PAR1")
    assert main(["show", str(tmp_path / "augmented")]) == 2


def test_every_text_gets_candidates_of_both_sources(world: Path) -> None:
    found = read_candidates(world / "candidates")
    assert set(found) == set(texts_of(world))
    words = [word for text in found for word in found[text]]
    assert {word.source for word in words} == {"masked_lm", "vectors"}
    assert all(0 < len(word.candidates) <= 4 for word in words)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_the_same_call_again_does_nothing_and_a_shard_that_is_lost_or_cut_off_alone_is_made_again(
    world: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    options: dict[str, Any] = {"masked_lm": world / "model", "vectors": world / "vectors.txt", "k": 2, "shard_texts": 8}
    folder = propose(texts_of(world), tmp_path / "candidates", **options)
    shards = sorted((folder / "data").glob("*.parquet"))
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in shards}
    assert len(before) > 2
    damage(shards[1])
    propose(texts_of(world), folder, **options)
    after = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in shards}
    assert {name for name in before if after[name][0] != before[name][0]} == {shards[1].name}
    assert {name: content for name, (_, content) in after.items()} == {n: content for n, (_, content) in before.items()}


def test_a_folder_of_other_candidates_is_refused(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(world, "propose", "--output", "candidates", "-k", "5") == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: {world}/candidates holds candidates with k 4, not 5; give another folder"
    )


def test_where_the_masked_lm_alone_proposes_vectors_do_not(world: Path) -> None:
    assert run(world, "propose", "--output", "model_alone", "--several-pieces", "masked_lm") == 0
    found = read_candidates(world / "model_alone")
    assert {word.source for text in found for word in found[text]} == {"masked_lm"}


def test_a_folder_of_candidates_made_with_a_setting_that_is_left_out_now_is_refused(world: Path) -> None:
    assert run(world, "propose", "--output", "of_the_model", "--several-pieces", "masked_lm") == 0
    assert run(world, "propose", "--output", "of_the_model") == 2


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


def test_a_label_that_is_missing_stays_missing(world: Path) -> None:
    lines = [{"text": text, "label": None if number else "fresh"} for number, text in enumerate(texts_of(world))]
    (world / "some.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run(world, "sample", "--input", "some.jsonl", "--output", "missing", "--carry", "label") == 0
    frame = pd.read_parquet(world / "missing/data")
    assert set(frame[frame.source_id == 0].label) == {"fresh"}
    assert frame[frame.source_id > 0].label.isna().all()


def test_candidates_of_one_name_are_told_apart_by_what_they_hold(world: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):  # as the pipeline publishes them: without settings
        shutil.copytree(world / "candidates/data", tmp_path / name / "propose_candidates/data")
    one, other = (tmp_path / name / "propose_candidates" for name in ("one", "other"))
    assert candidates_provenance(one) == candidates_provenance(other)
    next((other / "data").glob("*.parquet")).write_bytes(b"others")
    assert candidates_provenance(one) != candidates_provenance(other)


def test_another_tokenizer_is_another_model(world: Path, tmp_path: Path) -> None:
    model = shutil.copytree(world / "model", tmp_path / "model")
    folder = propose(texts_of(world)[:4], tmp_path / "candidates", masked_lm=model, k=2)
    with (model / "vocab.txt").open("a") as vocabulary:
        vocabulary.write("another\n")
    with pytest.raises(UserError, match="holds candidates with masked_lm_sha256"):
        propose(texts_of(world)[:4], folder, masked_lm=model, k=2)


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


def test_show_marks_what_was_replaced(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(world, "sample", "--output", "shown") == 0
    capsys.readouterr()
    assert main(["show", str(world / "shown"), "--example", "3"]) == 0
    original, *variants = capsys.readouterr().out.splitlines()
    assert original == f"original   text: {texts_of(world)[3]}"
    assert variants and all(line.startswith("variant ") and " -> " in line for line in variants)


@pytest.mark.parametrize(
    ("command", "options", "words"),
    [
        ("propose", ["--output", "new", "--masked-lm", "rows.csv"], "rows.csv is no model"),
        ("propose", ["--output", "new", "--masked-lm", "no_tokenizer"], "no_tokenizer"),
        ("propose", ["--output", "new", "--input", "row.csv"], "row.csv: no such file"),
        ("propose", ["--output", "new", "--text-column", "txt"], "rows.csv:1: no column 'txt'; did you mean 'text'?"),
        ("propose", ["--output", "new", "--protect", "("], "protect: '(' is no regular expression: "),
        ("propose", ["--output", "new", "-k", "0"], "k is 0; a word needs at least one candidate"),
        ("propose", ["--output", "new", "--beam", "0"], "beam is 0; give 1 or more"),
        ("propose", ["--output", "new", "--vector-words", "0"], "vector_words is 0; give 1 or more"),
        ("propose", ["--output", "model"], "model is not empty and no folder of candidates; give another one"),
        ("sample", ["--output", "model"], "model exists; give a new folder"),
        ("sample", ["--output", "new", "-p", "1.5"], "p is 1.5; a probability lies between 0 and 1"),
        ("sample", ["--output", "new", "-n", "-1"], "-1 variants; give 0 or more"),
        ("sample", ["--output", "new", "--candidates", "model"], "model: not a whole candidates folder"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    world: Path, command: str, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(world, command, *options) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ") and words in said
    assert not (world / "new").exists()


def test_an_example_that_is_not_there_is_one_sentence(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(world / "model")]) == 2
    assert "is no augmented dataset: it has no data/train-*.parquet" in capsys.readouterr().err


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


def test_stop_words_and_protected_words_are_not_replaced(world: Path) -> None:
    (world / "stop.txt").write_text("Film\nstory\n")
    options = ["--stop-words", str(world / "stop.txt"), "--protect", "s[ck]\\w+|good and"]
    assert run(world, "propose", "--output", "spared", *options) == 0
    found = read_candidates(world / "spared")
    words = {text[word.start : word.end].lower() for text in found for word in found[text]}
    assert words
    assert not words & {"film", "story", "scene", "script", "score"}
    assert "the" in words  # the given list stands instead of ours


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
