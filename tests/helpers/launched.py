"""A real stage at work in the background, launched as a user launches it, and the processes below it."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.helpers.commands import copy_artifacts, run_all, tree


class Launched:
    """`./run_all.sh --only STAGE` on a copy of the finished run's artifacts, in the background."""

    def __init__(
        self,
        finished: Path,
        recipe: Path,
        folder: Path,
        stage: str,
        *words: str,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.place = folder / "a" / stage
        if not (folder / "a").exists():
            copy_artifacts(finished, folder / "a", until=stage)
        self.words = [recipe, "--run.artifacts", folder / "a", "--run.runs", folder / "r", "--only", stage]
        self.errors = folder / f"errors-{time.monotonic_ns()}"
        with self.errors.open("w") as errors:
            self.process: subprocess.Popen[bytes] = run_all(
                *self.words, *words, wait=False, stderr=errors, environment=environment
            )

    def until(self, pattern: str) -> "Launched":
        """Wait for a file of the stage's place in the store."""
        wait_for(lambda: any(self.place.glob(pattern)), self.process)
        return self

    def said(self) -> str:
        return self.errors.read_text()

    def published(self) -> Path:
        (found,) = (path.parent for path in self.place.glob("*/stage.json"))
        return found


def wait_for(happened: Callable[[], Any], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < end
        time.sleep(0.01)


def alive(pids: list[int]) -> list[int]:
    """Those that still run; one that only waits to be reaped does not."""
    stats = {pid: Path(f"/proc/{pid}/stat") for pid in pids}
    return [pid for pid, stat in stats.items() if stat.exists() and stat.read_text().rpartition(") ")[2][0] != "Z"]


def ranks_below(pid: int) -> dict[int, int]:
    """The process of each rank that a command launched."""
    ranks = {}
    for each in tree(pid):
        variables = Path(f"/proc/{each}/environ").read_bytes().split(b"\0")
        ranks.update({int(v.removeprefix(b"RANK=")): each for v in variables if v.startswith(b"RANK=")})
    return ranks
