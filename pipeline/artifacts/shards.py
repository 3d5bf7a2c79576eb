"""Resumable work: a large result is made in shards, and a shard that is sealed is not made again after a crash.

A stage that is killed loses the shard it was writing and nothing else. Processes may share the shards by number: each
is written by one process, and none waits for another.
"""

from collections.abc import Callable
from pathlib import Path

from pipeline.artifacts.atomic import is_sealed, remove, seal


def write_once(write: Callable[..., object], *paths: Path) -> None:
    """Write a shard unless it is there as it was sealed; one that is damaged is written again.

    Args:
        write: takes one temporary path for each of `paths` and writes a file or a folder there.
        paths: the files or folders of the shard. Each needs a name of its own without its suffix.
    """
    if all(is_sealed(path) for path in paths):
        return
    temporary_paths = [path.with_suffix(".part") for path in paths]
    for temporary in temporary_paths:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        remove(temporary)  # of a process that was killed
    write(*temporary_paths)
    for temporary, path in zip(temporary_paths, paths, strict=True):
        seal(temporary, path)
