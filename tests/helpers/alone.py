"""Word replacement without the pipeline: a table, and commands on it."""

import csv
from pathlib import Path

from data_augment.__main__ import main

ROWS = 40


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
