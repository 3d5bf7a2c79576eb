"""Full disks and disks that cannot be written: real ones, small and in memory."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file

from data_augment.candidates_folder import SCHEMA, write_candidates
from pipeline.artifacts.atomic import write_atomically
from pipeline.artifacts.store import Artifact
from pipeline.data.corpus import write_shards
from pipeline.launch.cli import main
from pipeline.launch.exit_status import disk_trouble
from pipeline.plan.plan import make_plan
from pipeline.training.checkpoints import checkpoints, latest_checkpoint
from pipeline.training.loop import train
from tests import tiny
from tests.faults import differing
from tests.helpers.commands import copy_artifacts, run_all
from tests.helpers.one_process import make_stage
from tests.helpers.published import publish
from tests.helpers.tiny_job import job, same

MEGABYTE = 2**20
Disk = Callable[[int], Path]


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


def fill(folder: Path, *, leave: int) -> Path:
    """A file that takes all space but so many bytes."""
    ballast = folder / "ballast"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    ballast.write_bytes(b"\1" * (free - leave))
    return ballast


def publish_much(folder: Path) -> None:
    artifact = Artifact(folder, "stage", "0")
    artifact.output.mkdir(parents=True)
    (artifact.output / "weights").write_bytes(b"\1" * MEGABYTE)


def blocks() -> Iterator[np.ndarray]:
    return (np.arange(1000) for _ in range(1000))


def many_rows() -> pa.Table:
    return pa.Table.from_pylist([{"text": os.urandom(50).hex()} for _ in range(20_000)], schema=SCHEMA)


WRITERS: dict[str, Callable[[Path], object]] = {
    "safetensors": lambda folder: save_file({"a": torch.rand(MEGABYTE)}, folder / "a.safetensors"),
    "numpy": lambda folder: write_shards(blocks(), folder / "corpus", shard_blocks=1000, vocab_size=2000),
    "parquet": lambda folder: write_candidates(many_rows, folder / "a/b"),
    "text": lambda folder: write_atomically(folder / "a.json", "x" * MEGABYTE),
    "files": publish_much,
}


def test_a_file_that_a_full_disk_did_not_take_is_named_and_nothing_of_it_is_left(disk: Disk) -> None:
    place = disk(MEGABYTE // 2) / "a.json"
    with pytest.raises(OSError, match=str(place)):
        write_atomically(place, "x" * MEGABYTE)
    assert list(place.parent.iterdir()) == []


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_known_for_one_however_a_library_says_it(disk: Disk, name: str) -> None:
    folder = disk(MEGABYTE)
    fill(folder, leave=64 * 1024)
    with pytest.raises(Exception) as raised:  # each library has its own
        WRITERS[name](folder)
    assert disk_trouble(raised.value) == "No space left on device"


def test_a_full_disk_is_known_inside_another_error() -> None:
    try:
        try:
            raise OSError(28, "No space left on device")
        except OSError as error:
            raise RuntimeError("the dataset was not made") from error
    except RuntimeError as wrapped:
        assert disk_trouble(wrapped) == "No space left on device"


def test_another_error_is_no_trouble_with_the_disk() -> None:
    assert disk_trouble(ValueError("two samples requested and one written down")) is None
    assert disk_trouble(FileNotFoundError(2, "No such file or directory", "a")) is None


def test_a_training_on_a_full_disk_keeps_its_last_checkpoint_and_goes_on_when_there_is_space(disk: Disk) -> None:
    whole = job()
    folder = disk(4 * MEGABYTE)
    train(whole, make_stage(folder / "whole"))
    ballast = fill(folder, leave=3 * 40 * 1024)  # for two checkpoints, not three
    with pytest.raises(Exception) as raised:
        train(job(), make_stage(folder, checkpoint_seconds=1e-9))
    assert disk_trouble(raised.value) == "No space left on device"
    kept = checkpoints(folder / "work")
    assert latest_checkpoint(folder / "work") == (kept[-1], [])
    ballast.unlink()
    again = job()
    train(again, make_stage(folder, checkpoint_seconds=1e-9))
    assert same(again.model, whole.model)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_stage_on_a_full_disk_says_so_once_and_goes_on_when_there_is_space(
    finished: Path, run_world: Path, tmp_path: Path, disk: Disk, processes: int
) -> None:
    store = disk(8 * MEGABYTE)
    copy_artifacts(finished, store / "a", until="distill_layers")
    ballast = fill(store, leave=40 * 1024)
    words = [run_world / "recipe.yaml", "--run.artifacts", store / "a", "--run.runs", tmp_path / "r",
             "--run.checkpoint_seconds", "0.001", "--only", "distill_layers", "--", "--num_processes",
             str(processes)]  # fmt: skip
    stopped = run_all(*words)
    assert stopped.returncode == 1
    assert "No space left on device; mend that, and the same command goes on" in stopped.stderr.splitlines()[-3]
    assert stopped.stderr.splitlines()[-3].startswith("distill_layers failed: /")
    assert "stages/distill_layers.py" not in stopped.stderr  # no traceback
    ballast.unlink()
    assert run_all(*words).returncode == 0
    (ours,) = (path.parent for path in (store / "a" / "distill_layers").glob("*/stage.json"))
    if processes == 1:
        assert list(differing((finished / "distill_layers").resolve(), ours)) == []


def test_a_disk_that_cannot_be_written_is_one_sentence_and_a_finished_run_needs_no_more(
    disk: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    world = tiny.make(disk(16 * MEGABYTE) / "tiny").parent
    publish(make_plan(world / "recipe.yaml", checked=False))
    assert main([str(world / "recipe.yaml")]) == 0
    subprocess.run(["mount", "-o", "remount,ro", str(world.parent)], check=True)
    assert main([str(world / "recipe.yaml")]) == 0
    capsys.readouterr()
    assert main([str(world / "recipe.yaml"), "--seed", "1"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"failed: {world}/runs/recipe/") and last.endswith(": Read-only file system")
    assert main([str(world / "recipe.yaml"), "--force", "augment_data"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("failed: ") and said.endswith("Read-only file system\n") and said.count("\n") == 1
