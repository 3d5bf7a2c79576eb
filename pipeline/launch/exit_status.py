"""How a stage's process ends: its status, and the one sentence that it leaves for the command that launched it.

And output streams that survive a closed reader, such as a closed terminal: output is lost, and the work goes on.
"""

import contextlib
import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.errors import DISK, FAILED, PREFIXES, Interrupted, UserError, WorkFailed, failed_file

STATUS_FILE = "DISTILL_STATUS_FILE"  # a stage writes its true status there: the launcher turns every failure into 1


def explain(error: Exception) -> tuple[int, str, bool]:
    """The exit status for an error, one sentence for the user, and whether the sentence needs no traceback with it."""
    if isinstance(error, UserError | WorkFailed | Interrupted):
        return error.status, str(error), True
    if isinstance(error, OSError) and (file := failed_file(error)):
        return FAILED, f"{file}: {error.strerror}", True
    return FAILED, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}", False


def disk_trouble(error: BaseException | None) -> str | None:
    """The system's message where a full or read-only disk caused an error, however a library wraps it; else None."""
    while error is not None:
        number, text = getattr(error, "errno", None), str(error)
        for known in DISK:
            if number == known or os.strerror(known) in text:
                return os.strerror(known)
        if isinstance(error, OSError) and number is None and "requested and" in text:
            return os.strerror(errno.ENOSPC)  # numpy: '8192 requested and 512 written'
        error = error.__cause__ or error.__context__
    return None


def is_out_of_memory(error: Exception) -> bool:
    """Whether a GPU's memory or the machine's did not suffice, as torch, numpy and Python say it."""
    no_memory = type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError)
    return no_memory or "can't allocate memory" in str(error)


def report_exit(status: int, message: str, *, of_peer: bool = False) -> None:
    """Print this process's last sentence, and write it to the file that the launching command reads.

    Args: of_peer: the sentence says that another process is gone; that process's own report explains more.
    """
    with contextlib.suppress(OSError):  # the reader is gone
        print(f"{PREFIXES.get(status, '')}{message}", file=sys.stderr, flush=True)
    if path := os.environ.get(STATUS_FILE):
        report = json.dumps({"status": status, "message": message, "of_peer": of_peer})
        with contextlib.suppress(OSError):  # a full disk
            Path(f"{path}.{os.environ.get('RANK', '0')}").write_text(report, encoding="utf-8")


class SurvivingStream:
    """A stream that survives a closed reader: from its first failed write on, its output goes to /dev/null."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.lost: OSError | None = None  # why its output is lost

    @property
    def buffer(self) -> "SurvivingStream":
        return SurvivingStream(self._stream.buffer)

    def write(self, content: Any) -> int:
        self._try(lambda: self._stream.write(content))
        return len(content)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except OSError as error:
            self.lost = error
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def survive_closed_readers() -> tuple[Any, Any]:
    """Replace standard output and error, which may be closed already, by surviving ones; returns the two replaced."""
    before = sys.stdout, sys.stderr
    nowhere = Path(os.devnull).open
    sys.stdout, sys.stderr = (SurvivingStream(stream or nowhere("w", encoding="utf-8")) for stream in before)
    return before
