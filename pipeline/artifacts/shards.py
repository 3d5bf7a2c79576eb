"""Resumable work: a large result is made in shards, and a stage that is killed loses only the shard it was writing."""

from collections.abc import Callable
from pathlib import Path

from pipeline.artifacts.atomic import keep_if_sealed, remove, seal


def write_once(write: Callable[..., object], *paths: Path) -> None:
    """Write a shard unless it is there as it was sealed; one that is damaged is written again.

    Args:
        write: takes one temporary path for each of `paths` and writes a file or a folder there.
        paths: the files or folders of the shard. Each needs a name of its own without its suffix.
    """
    if all(keep_if_sealed(path) for path in paths):
        return
    temporary_paths = [path.with_suffix(".part") for path in paths]
    for temporary in temporary_paths:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        remove(temporary)  # of a process that was killed
    write(*temporary_paths)
    for temporary, path in zip(temporary_paths, paths, strict=True):
        remove(path)  # of several, one may be there as it was sealed
        seal(temporary, path)
