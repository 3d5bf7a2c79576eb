"""Files and folders that are whole or not there."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.artifacts.atomic import keep_if_sealed, link_or_copy, seal, write_atomically
from tests.helpers.disks import MEGABYTE, Disk


def write(place: Path, *, folder: bool) -> Path:
    """A file, or a folder with two of them; gives the file whose content counts."""
    if not folder:
        place.write_bytes(b"some tokens")
        return place
    (place / "inner").mkdir(parents=True)
    (place / "lengths").write_bytes(b"3")
    (place / "inner" / "tokens").write_bytes(b"some tokens")
    return place / "inner" / "tokens"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


DAMAGES = {"cut off": lambda path: path.write_bytes(b"some"), "empty": lambda path: path.write_bytes(b""),
           "a bit flipped": flip, "gone": Path.unlink}  # fmt: skip


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_keep_if_sealed_is_known_as_whole_until_it_is_damaged(
    tmp_path: Path, folder: bool, damage: Callable[[Path], None]
) -> None:
    inner = write(tmp_path / "building", folder=folder).relative_to(tmp_path / "building")
    assert not keep_if_sealed(tmp_path / "shard")
    seal(tmp_path / "building", tmp_path / "shard")
    assert not (tmp_path / "building").exists()
    assert keep_if_sealed(tmp_path / "shard") and keep_if_sealed(tmp_path / "shard")
    damage(tmp_path / "shard" / inner)
    assert not keep_if_sealed(tmp_path / "shard")
    assert not (tmp_path / "shard").exists()


def test_an_empty_folder_whose_checksums_alone_were_written_is_not_whole(tmp_path: Path) -> None:
    (tmp_path / "building").mkdir()
    seal(tmp_path / "building", tmp_path / "part")
    assert keep_if_sealed(tmp_path / "part")
    (tmp_path / "part").rmdir()  # as after a kill between the checksums and the name
    assert not keep_if_sealed(tmp_path / "part")


def test_a_hidden_file_that_the_system_puts_into_a_folder_is_no_damage(tmp_path: Path) -> None:
    write(tmp_path / "building", folder=True)
    seal(tmp_path / "building", tmp_path / "part")
    (tmp_path / "part" / ".DS_Store").write_bytes(b"anything")
    assert keep_if_sealed(tmp_path / "part")


def test_what_nobody_sealed_is_not_trusted(tmp_path: Path) -> None:
    write(tmp_path / "shard", folder=False)
    assert not keep_if_sealed(tmp_path / "shard")


def test_an_atomic_write_of_the_same_text_changes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "folder/results.json"
    write_atomically(path, "one")
    before = path.stat()
    write_atomically(path, "one")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    write_atomically(path, "two")
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def test_damaged_text_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"\xff\xfe")
    write_atomically(tmp_path / "text", "one")
    assert (tmp_path / "text").read_text() == "one"


def test_a_file_that_a_full_disk_did_not_take_is_named_and_nothing_of_it_is_left(disk: Disk) -> None:
    place = disk(MEGABYTE // 2) / "a.json"
    with pytest.raises(OSError, match=str(place)):
        write_atomically(place, "x" * MEGABYTE)
    assert list(place.parent.iterdir()) == []


@pytest.mark.parametrize("links", [True, False])
def test_a_file_gets_a_second_name(tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").write_text("content")
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("not here")))
    link_or_copy(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").read_text() == "content"
    assert (tmp_path / "two").samefile(tmp_path / "one") == links
