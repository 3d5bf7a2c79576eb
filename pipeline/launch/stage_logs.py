"""One log for each stage, out of the output of a launch that runs several.

A process that begins a stage writes a mark with its name into the output. The command that launched it shows the output
without the marks, and keeps what follows a mark in that stage's log.
"""

import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

LOGGED = "DISTILL_LOGGED"  # set for what is launched: its output is read for marks
MARK = re.compile(rb"\x1e(\w+)\x1f")  # between ASCII's separators of records and of units, which texts do not hold
CUT_MARK = re.compile(rb"\x1e\w*\Z")  # the rest of it comes with the next bytes


def mark(stage: str) -> None:
    """Write that the output of a stage follows, where somebody reads that."""
    if LOGGED in os.environ:
        with suppress(OSError):  # the reader is gone
            sys.stdout.flush()
            print(f"\x1e{stage}\x1f", end="", file=sys.stderr, flush=True)


class StageLogs:
    """Logs in a folder, one a stage; the output of an earlier attempt stays in them.

    Args:
        stages: those of the launch; the first has the output before any mark.
        begins: called with each of the others as it begins.
        machine: which of several machines this one is; all but the first name themselves in their logs' names.
    """

    def __init__(
        self,
        folder: Path,
        stages: Sequence[str],
        begins: Callable[[str], object] = lambda _: None,
        *,
        machine: int = 0,
    ) -> None:
        self.folder, self.stages, self.stage, self._begins = folder, stages, stages[0], begins
        self._suffix = f".machine-{machine}.log" if machine else ".log"

    @property
    def path(self) -> Path:
        """The log of the stage at work."""
        return self.folder / f"{self.stage}{self._suffix}"

    def turn_to(self, stage: str) -> None:
        """What follows is of this stage. A name that is none of the launch's was no mark."""
        if stage != self.stage and stage in self.stages:
            self.stage = stage
            self._begins(stage)

    def copy(self, descriptor: int) -> None:
        """Show and log an output to its end; neither a full disk nor a closed terminal stops the stages."""
        self.folder.mkdir(parents=True, exist_ok=True)
        rest = b""
        while chunk := os.read(descriptor, 65536):
            output = rest + chunk
            cut = CUT_MARK.search(output)
            whole = output[: cut.start()] if cut else output
            rest = output[len(whole) :]
            first, *marked = MARK.split(whole)
            self._write(first)
            for stage, following in zip(marked[::2], marked[1::2], strict=True):
                self.turn_to(stage.decode())
                self._write(following)
        self._write(rest)

    def _write(self, output: bytes) -> None:
        with suppress(OSError), self.path.open("ab", buffering=0) as log:
            log.write(output)
        with suppress(OSError):
            sys.stderr.buffer.write(output)
            sys.stderr.buffer.flush()
