"""The commands a user types, and how they are killed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from pipeline import PROJECT
from pipeline.plan.stages import STAGES


def run_all(
    *words: str | Path,
    project: Path = PROJECT,
    wait: bool = True,
    stderr: int | IO[str] = subprocess.DEVNULL,
    environment: dict[str, str] | None = None,
) -> Any:
    """./run_all.sh with the tests' own environment; where it is not waited for, its errors go to `stderr`."""
    command = [str(project / "run_all.sh"), *map(str, words)]
    known = os.environ | {"PYTHON": sys.executable, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1"} | (environment or {})
    if not wait:
        return subprocess.Popen(command, env=known, stdout=subprocess.DEVNULL, stderr=stderr)
    return subprocess.run(command, env=known, capture_output=True, text=True, check=False, timeout=600)


def copy_artifacts(run: Path, store: Path, *, until: str, copy: Callable[..., Any] = shutil.copy2) -> None:
    """The artifacts of a run, before a stage, in another store."""
    for stage in STAGES[: STAGES.index(until)]:
        source = (run / stage).resolve()
        if source.is_dir():
            shutil.copytree(source, store / stage / source.name, copy_function=copy)


def kill_tree(pid: int) -> None:
    """SIGKILL to a process and all below it at one instant: all stand still before the first is killed."""
    stopped: set[int] = set()
    while found := set(tree(pid)) - stopped:
        for each in found:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGSTOP)
        stopped |= found
    for each in stopped:
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        children = [int(n) for path in Path(f"/proc/{pid}/task").glob("*/children") for n in path.read_text().split()]
    except OSError:
        return []
    return [pid, *(below for child in children for below in tree(child))]
