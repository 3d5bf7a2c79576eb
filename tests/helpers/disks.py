"""Small disks in memory, to be filled."""

import os
from collections.abc import Callable
from pathlib import Path

MEGABYTE = 2**20
Disk = Callable[[int], Path]  # what the fixture `disk` is: it mounts one of so many bytes


def fill(folder: Path, *, leave: int) -> Path:
    """A file that takes all space but so many bytes."""
    ballast = folder / "ballast"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    ballast.write_bytes(b"\1" * (free - leave))
    return ballast
