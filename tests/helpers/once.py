"""What takes long is made once a test run, though several workers of pytest-xdist ask for it."""

import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


def once(folder: Path, make: Callable[[Path], object]) -> Path:
    """A folder that the first worker makes; the others wait for it. For reading.

    Args:
        folder: where all workers look.
        make: fills it; if that fails, the next worker tries again.
    """
    done = folder.with_name(f"{folder.name}.done")
    with FileLock(f"{folder}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            done.touch()
    return folder
