"""How a stage's process ends: its status, and the one sentence that it leaves for the command that launched it.

And streams whose reader may be gone, as when a terminal closes: what cannot be shown is lost, and the work goes on.
"""

import contextlib
import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.errors import BAD_INPUT, FAILED, INTERRUPTED, Interrupted, UserError, WorkFailed

STATUS_FILE = "DISTILL_STATUS_FILE"  # a stage writes its true status there: the launcher turns every failure into 1
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def sentence_of(error: Exception) -> tuple[int, str]:
    """The status that an error ends a stage with, and one sentence for the user."""
    for kind, status in ((UserError, BAD_INPUT), (WorkFailed, FAILED), (Interrupted, INTERRUPTED)):
        if isinstance(error, kind):
            return status, str(error)
    if isinstance(error, OSError) and error.filename:
        return FAILED, f"{error.filename}: {error.strerror}"
    return FAILED, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def is_explained(error: Exception) -> bool:
    """Whether the sentence says it all, so that no traceback is needed."""
    return isinstance(error, UserError | WorkFailed | Interrupted) or bool(getattr(error, "filename", None))


def disk_trouble(error: BaseException | None) -> str | None:
    """What the disk refused, as the system puts it; libraries say it in errors of their own, or wrap it in them."""
    while error is not None:
        number, text = getattr(error, "errno", None), str(error)
        for known in DISK:
            if number == known or os.strerror(known) in text:
                return os.strerror(known)
        if isinstance(error, OSError) and number is None and "requested and" in text:
            return os.strerror(errno.ENOSPC)  # numpy: '8192 requested and 512 written'
        error = error.__cause__ or error.__context__
    return None


def tell(status: int, message: str, *, lost: bool = False) -> None:
    """Print the sentence that this process ends with, and leave it for the command that launched it.

    Args: lost: it only says that another process is gone; what that one said itself comes first.
    """
    prefix = {BAD_INPUT: "error: ", FAILED: "failed: "}.get(status, "")
    with contextlib.suppress(OSError):  # nobody reads any more
        print(f"{prefix}{message}", file=sys.stderr, flush=True)
    if path := os.environ.get(STATUS_FILE):
        said = json.dumps({"status": status, "message": message, "lost": lost})
        with contextlib.suppress(OSError):  # a full disk
            Path(f"{path}.{os.environ.get('RANK', '0')}").write_text(said, encoding="utf-8")


class Heedless:
    """A stream that fails no more: from its first failure on it goes to /dev/null, what it still holds too."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    @property
    def buffer(self) -> "Heedless":
        return Heedless(self._stream.buffer)

    def write(self, content: Any) -> int:
        self._try(lambda: self._stream.write(content))
        return len(content)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def outlive_readers() -> tuple[Any, Any]:
    """Make standard output and standard error heedless, or /dev/null where one was closed before the start.

    Returns: what they were.
    """
    before = sys.stdout, sys.stderr
    nowhere = Path(os.devnull).open
    sys.stdout, sys.stderr = (Heedless(stream or nowhere("w", encoding="utf-8")) for stream in before)
    return before
