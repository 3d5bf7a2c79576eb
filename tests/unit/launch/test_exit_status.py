"""A full disk is known for one, however a library says it."""

import os
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
from pipeline.errors import FAILED, status_of
from pipeline.launch.exit_status import disk_trouble, explain, is_out_of_memory
from tests.helpers.disks import MEGABYTE, Disk, fill


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


def copied_onto_a_full_disk() -> None:
    error = OSError(28, "No space left on device", "source.csv")  # as shutil.copyfile raises it
    error.filename2 = "target.csv"
    raise error


def test_a_copy_names_the_file_on_the_full_disk(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(copied_onto_a_full_disk) == FAILED
    assert capsys.readouterr().err == "failed: target.csv: No space left on device\n"
    with pytest.raises(OSError, match=r"source\.csv") as raised:
        copied_onto_a_full_disk()
    assert explain(raised.value) == (FAILED, "target.csv: No space left on device", True)


def test_a_move_that_may_not_be_made_names_its_source(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        (tmp_path / "no").rename(tmp_path / "target")
    assert explain(raised.value) == (FAILED, f"{tmp_path}/no: No such file or directory", True)


def test_too_little_memory_is_known_for_it() -> None:
    with pytest.raises(RuntimeError) as of_the_machine:
        torch.empty(2**50)
    with pytest.raises(MemoryError) as of_numpy:
        np.empty(2**55, dtype=np.int8)
    assert is_out_of_memory(of_the_machine.value) and is_out_of_memory(of_numpy.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.86 GiB"))
    assert not is_out_of_memory(ValueError("no memory of it"))


def test_another_error_is_no_trouble_with_the_disk() -> None:
    assert disk_trouble(ValueError("two samples requested and one written down")) is None
    assert disk_trouble(FileNotFoundError(2, "No such file or directory", "a")) is None
