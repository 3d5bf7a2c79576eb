"""Bad input: found before anything is launched, one sentence, exit status 2, nothing left behind."""

import base64
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.launch.cli import main
from pipeline.plan.plan import make_plan
from pipeline.plan.stages import STAGES
from tests import tiny
from tests.helpers.commands import run_all

BAD_INPUTS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "bad_inputs.yaml").read_text(encoding="utf-8")
)
ROWS = "text,label\nThe film is great .,fresh\nThe plot is dull .,rotten\n"
MANY = "text,label\n" + 10 * ROWS.partition("\n")[2]


def prepare(world: Path, bad: dict[str, Any]) -> list[str]:
    """Spoil the tiny world as an entry of the catalogue says; returns the words of the command line."""
    for name, source in bad.get("copy", {}).items():
        shutil.copytree(world / source, world / name)
    tree = json.loads(json.dumps(tiny.recipe(world)))  # no section shared with another
    for name, value in bad.get("set", {}).items():
        section, _, field = name.rpartition(".")
        (tree[section] if section else tree)[field] = json.loads(filled(json.dumps(value), world))
    tiny.write_recipe(world / "recipe.yaml", tree)
    for name, content in bad.get("files", {}).items():
        if content is None:
            (world / name).unlink()
        else:
            (world / name).write_text(filled(content, world), encoding="utf-8")
    for name, content in bad.get("base64", {}).items():
        (world / name).write_bytes(base64.b64decode(content))
    for name, columns in bad.get("parquet", {}).items():
        pq.write_table(pa.table(columns), world / name)
    for name, changes in bad.get("change", {}).items():
        (world / name).write_text(json.dumps(json.loads((world / name).read_text()) | changes))
    return [filled(word, world) for word in bad.get("words", ["{recipe}"])]


def filled(text: str, world: Path) -> str:
    return text.replace("{world}", str(world)).replace("{recipe}", str(world / "recipe.yaml"))


def assert_one_sentence(world: Path, errors: str, words: str) -> None:
    """What was printed to stderr."""
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert filled(words, world) in errors


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_the_catalogue_is_as_long_as_promised() -> None:
    assert len({json.dumps(bad, sort_keys=True) for bad in BAD_INPUTS}) >= 60


@pytest.mark.parametrize("bad", BAD_INPUTS, ids=lambda bad: bad["says"][:60])
def test_bad_input_is_one_sentence_and_leaves_nothing(
    world: Path, bad: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    words = prepare(world, bad)
    before = below(world)
    assert main(words) == 2
    assert_one_sentence(world, capsys.readouterr().err, bad["says"])
    assert below(world) == before


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, len(BAD_INPUTS) // 2, len(BAD_INPUTS) - 1])
def test_the_command_says_the_same(world: Path, number: int) -> None:
    words = prepare(world, BAD_INPUTS[number])
    before = below(world)
    said = run_all(*words)
    assert said.returncode == 2
    assert_one_sentence(world, said.stderr, BAD_INPUTS[number]["says"])
    assert below(world) == before


def test_a_wheel_of_another_checksum_is_one_sentence(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(world / "toy_words-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("toy_words-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy-words\nVersion: 1.0\n")
        wheel.writestr("toy_words-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("toy_words/rows.csv", ROWS)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(world))
    settings = {"task.train": "wheel:toy-words==1.0#toy_words/rows.csv", "checksums": {"toy-words==1.0": "00ff"}}
    assert main(prepare(world, {"set": settings})) == 2
    said, error = capsys.readouterr().err.splitlines(keepends=True)
    assert said == "downloading toy-words==1.0\n"
    assert_one_sentence(world, error, "the recipe's checksums say 00ff; the download was removed")


def test_a_hub_that_is_not_reached_is_one_sentence(world: Path) -> None:
    words = prepare(world, {"set": {"backbone": "hub:owner/tiny"}})
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(world)}  # nobody listens there
    command = [sys.executable, "-m", "pipeline", *words]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert_one_sentence(world, run.stderr, "hub:owner/tiny is not in the hub's cache, and the hub is not reached")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", b"\xef\xbb\xbf" + MANY.encode()),
        ("rows.csv", MANY.replace("\n", "\r\n").encode()),
        ("rows.tsv", MANY.replace(",", "\t").replace("The", '"The').encode()),
        ("rows.csv", MANY.replace("The film is great .", '"The film, ""great"" is\ngreat ."').encode()),
    ],
    ids=["byte-order mark", "CRLF", "lone quotes in TSV", "quotes in CSV"],
)
def test_what_looks_odd_and_is_right_is_accepted(world: Path, name: str, content: bytes) -> None:
    (recipe,) = prepare(world, {"set": {"task.train": f"{world}/{name}"}})
    (world / name).write_bytes(content)
    assert set(make_plan(Path(recipe)).why) == set(STAGES)
