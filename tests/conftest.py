"""Fixtures that several files share."""

import os
import shutil
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: on tiny models threads only wait for each other

import pytest

from tests import tiny


@pytest.fixture(scope="session")
def tiny_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world of `tests.tiny`, written once; for reading."""
    return tiny.make(tmp_path_factory.mktemp("template") / "tiny").parent


@pytest.fixture
def world(tiny_template: Path, tmp_path: Path) -> Path:
    """A test's own copy of the tiny world: model, rows.csv, text.txt, vectors.txt, recipe.yaml."""
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_template, folder)
    tiny.write_recipe(folder / "recipe.yaml", tiny.recipe(folder))
    return folder
