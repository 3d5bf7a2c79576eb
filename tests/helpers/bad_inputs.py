"""The catalogue of bad inputs: how each spoils the tiny world."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tests import tiny

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
        (tree.setdefault(section, {}) if section else tree)[field] = json.loads(filled(json.dumps(value), world))
    tiny.write_recipe(world / "recipe.yaml", tree)
    for name, content in bad.get("files", {}).items():
        if content is None:
            (world / name).unlink()
        else:
            (world / name).write_text(filled(content, world), encoding="utf-8")
    for name, content in bad.get("base64", {}).items():
        (world / name).write_bytes(base64.b64decode(content))
    for name, columns in bad.get("parquet", {}).items():
        (world / name).parent.mkdir(parents=True, exist_ok=True)
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
