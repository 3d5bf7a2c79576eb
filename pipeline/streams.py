"""Streams whose reader may be gone, as when a terminal closes: what cannot be shown is lost, and the work goes on."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


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
