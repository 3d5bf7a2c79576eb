"""Content digests of input files, remembered so that a finished run need not read its inputs again.

An entry holds for a file of the same path, size, inode and times of its last modification and last change (which no
program can set); any other is computed anew.
"""

import contextlib
import errno
import json
from pathlib import Path

from pipeline.artifacts.atomic import checksum, write_atomically
from pipeline.errors import UserError

READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class DigestBook:
    """A JSON file {path: [size, inode, mtime_ns, ctime_ns, digest]}. One that cannot be read is empty: it only saves
    time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, list] = {}
        self._changed = False
        with contextlib.suppress(OSError, ValueError):
            entries = json.loads(path.read_text("utf-8"))
            self._entries = entries if isinstance(entries, dict) else {}

    def file(self, path: Path, *, fresh: bool = False) -> str:
        """The SHA-256 of a file's bytes, as hex; `fresh` reads the file whatever the book says.

        Raises: UserError where the file is missing or may not be read.
        """
        key = str(path.absolute())
        try:
            status = path.stat()
            # Taken before reading: a later change shows.
            stamp = [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
            entry = self._entries.get(key)
            if not fresh and isinstance(entry, list) and entry[:-1] == stamp:
                return entry[-1]
            digest = checksum(path)
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}): mend its path or its permissions") from None
        if entry != [*stamp, digest]:
            self._entries[key] = [*stamp, digest]
            self._changed = True
        return digest

    def save(self) -> None:
        """Writes the book by rename, and only when an entry changed; not in a store that may only be read."""
        if self._changed:
            try:
                write_atomically(self._path, json.dumps(self._entries, indent=0, sort_keys=True) + "\n")
            except OSError as error:
                if error.errno not in READ_ONLY:
                    raise
            self._changed = False
