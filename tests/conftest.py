"""Fixtures that several files share."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: on tiny models threads only wait for each other

import pytest

from pipeline import PROJECT
from tests import tiny
from tests.helpers.commands import run_all
from tests.helpers.disks import Disk
from tests.helpers.once import once


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin the share of each worker of pytest-xdist with tests that launch stages, so that all end together.

    With `--dist worksteal`, as run_tests.sh has it, a worker begins with an equal part of the list.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    folders = [Path(__file__).with_name(name) for name in ("end_to_end", "stages")]
    slow = [item for item in items if any(item.path.is_relative_to(folder) for folder in folders)]
    fast = [item for item in items if item not in slow]
    bounds = [len(fast) * number // workers for number in range(workers + 1)]
    items[:] = [
        item for number in range(workers) for item in (*slow[number::workers], *fast[slice(*bounds[number:][:2])])
    ]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of pytest-xdist see; without workers, this process's own."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def tiny_template(shared: Path) -> Path:
    """The tiny world of `tests.tiny`; for reading."""
    return once(shared / "template", tiny.make)


@pytest.fixture
def world(tiny_template: Path, tmp_path: Path) -> Path:
    """A test's own copy of the tiny world: model, rows.csv, text.txt, vectors.txt, recipe.yaml."""
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_template, folder)
    tiny.write_recipe(folder / "recipe.yaml", tiny.recipe(folder))
    return folder


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean clone of the project, in a folder with a space in its name."""
    folder = tmp_path_factory.mktemp("a clone") / "project"
    subprocess.run(["git", "clone", "-q", str(PROJECT), str(folder)], check=True)
    return folder


@pytest.fixture(scope="session")
def run_world(shared: Path) -> Path:
    """The tiny world that the whole run is made in; its model has a card, which says the licence."""

    def make(folder: Path) -> None:
        tiny.make(folder)
        (folder / "model/README.md").write_text("---\nlicense: mit\n---\n")

    return once(shared / "tiny", make)


@pytest.fixture(scope="session")
def finished(run_world: Path, clone: Path, shared: Path) -> Path:
    """The folder of a finished run."""

    def run(_: Path) -> None:
        done = run_all(run_world / "recipe.yaml", project=clone)
        assert done.returncode == 0, done.stderr[-3000:]

    once(shared / "finished", run)
    return run_world / "runs" / "recipe"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mounts a disk of so many bytes."""
    place = tmp_path / "disk"

    def mount(size: int) -> Path:
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("only root can mount a small disk")
        return place

    yield mount
    subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)


@pytest.fixture(scope="session")
def shipped(tiny_template: Path, shared: Path) -> Path:
    """The folder of a student that is ready to ship (random weights, labels rotten and fresh); for reading."""

    def make(folder: Path) -> None:
        from pipeline.artifacts.atomic import link_or_copy
        from pipeline.export.onnx import export_onnx, quantise
        from pipeline.export.onnx_session import FLOAT32, INT8, QUANTIZED

        tiny.write_classifier(folder, tiny_template / "model")
        export_onnx(tiny.load_eager(folder), folder / FLOAT32, inputs=["input_ids", "attention_mask"])
        quantise(folder / FLOAT32, folder / INT8)
        link_or_copy(folder / INT8, folder / QUANTIZED)

    return once(shared / "shipped", make)
