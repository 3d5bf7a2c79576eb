"""Errors a user can mend, and the exit statuses of every command.

An error that the user caused is one sentence: what is wrong, where, and what would be right.
It is raised as `UserError`, printed without a traceback, and ends the command with status 2.
"""

import difflib
import errno
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

OK = 0
FAILED = 1  # a failure while working
BAD_INPUT = 2  # the recipe, the data or a model is wrong: nothing was written
INTERRUPTED = 75  # checkpointed and stopped: the same command goes on
PREFIXES = {BAD_INPUT: "error: ", FAILED: "failed: "}  # of the sentence with which a command ends
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # numbers of the errors of a full or read-only disk


class UserError(Exception):
    """One sentence that names what is wrong, where, and what would be right."""

    status: ClassVar[int] = BAD_INPUT

    def __init__(self, sentence: str) -> None:
        super().__init__(" ".join(sentence.splitlines()))  # names in a user's data may hold line ends


def require(condition: object, sentence: str) -> None:
    """Raises UserError with the sentence unless the condition holds."""
    if not condition:
        raise UserError(sentence)


class WorkFailed(Exception):
    """The work itself went wrong (a NaN loss, a teacher that learnt nothing): one sentence."""

    status: ClassVar[int] = FAILED


class Interrupted(Exception):
    """A signal asked the stage to stop; its state is saved."""

    status: ClassVar[int] = INTERRUPTED


def status_of(work: Callable[[], int | None]) -> int:
    """Do a command's work; the exit status that it gives, with the one sentence printed where it ends badly."""
    try:
        status = work() or OK
        print(end="", flush=True)  # here, where a reader that is gone is no failure
    except (UserError, WorkFailed) as error:
        print(f"{PREFIXES[error.status]}{error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:  # a full disk, a folder that may not be written
        if error.errno is None:
            raise
        wrong_path = isinstance(error, IsADirectoryError | NotADirectoryError)
        status = BAD_INPUT if wrong_path else FAILED
        hint = "; give another path" if wrong_path else ""
        print(f"{PREFIXES[status]}{failed_file(error) or 'writing'}: {error.strerror}{hint}", file=sys.stderr)
        return status
    return status


def failed_file(error: BaseException) -> Any:
    """The file that an error of the system names, or None; of a copy to a full disk the one that was written."""
    written = getattr(error, "filename2", None)
    if written and getattr(error, "errno", None) in DISK:
        return written
    return getattr(error, "filename", None)


def link_to_nothing(path: Path) -> str:
    """Half a sentence for a symbolic link whose target is not there; else ''."""
    return f" (it is a link to {path.readlink()}, which is not there)" if path.is_symlink() else ""


def nearest(wrong: str, known: Iterable[str]) -> str:
    """A hint for a misspelt name: `; did you mean 'epochs'?`, or the list of what is known."""
    known = sorted(known)
    close = difflib.get_close_matches(wrong, known, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known are: {', '.join(known)}" if known else ""
