"""Where locks are held: a disk may have none, such as one over the network without a service for them."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import require

NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)  # numbers of the errors of such a disk


@contextlib.contextmanager
def locks_needed(folder: Path) -> Iterator[None]:
    """Raises UserError where a file in the folder cannot be locked."""
    try:
        yield
    except OSError as error:
        require(
            error.errno not in NO_LOCKS,
            f"{folder} lies on a disk without locks ({error.strerror}): put run.artifacts on a disk with locks",
        )
        raise
