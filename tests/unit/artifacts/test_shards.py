"""Shards of resumable work: written once, and again only where one is damaged."""

from pathlib import Path

import pytest

from pipeline.artifacts.shards import write_once


def numbered(path: Path, text: str = "rows") -> None:
    """A folder of one file."""
    path.mkdir()
    (path / "tokens").write_text(text)


def refuse(*paths: Path) -> None:
    raise AssertionError(f"{paths} were to be written again")


def test_a_shard_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    shard = tmp_path / "new folder" / "part-00000"
    write_once(numbered, shard)
    write_once(refuse, shard)
    assert (shard / "tokens").read_text() == "rows"


def test_what_a_killed_process_left_is_no_part_of_the_shard(tmp_path: Path) -> None:
    numbered(tmp_path / "part-00000.part", "cut o")
    (tmp_path / "part-00000.part" / "more").write_text("of another attempt")
    write_once(numbered, tmp_path / "part-00000")
    assert [path.name for path in (tmp_path / "part-00000").iterdir()] == ["tokens"]
    assert not (tmp_path / "part-00000.part").exists()


def test_a_shard_that_fails_is_not_there(tmp_path: Path) -> None:
    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_once(fail, tmp_path / "shard.npy")
    assert not (tmp_path / "shard.npy").exists()


@pytest.mark.parametrize("damaged", ["rows.parquet", "counts.json"])
def test_of_a_shard_of_two_files_both_are_written_again(tmp_path: Path, damaged: str) -> None:
    def write(rows: Path, counts: Path) -> None:
        rows.write_text("rows")
        counts.write_text("1")

    paths = tmp_path / "rows.parquet", tmp_path / "counts" / "counts.json"
    write_once(write, *paths)
    write_once(refuse, *paths)
    (tmp_path / ("counts" if damaged == "counts.json" else "") / damaged).write_text("")
    write_once(write, *paths)
    assert [path.read_text() for path in paths] == ["rows", "1"]
