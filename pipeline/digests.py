"""Content digests of input files, remembered so that a finished run need not read its inputs again.

An entry holds for a file of the same path, size, modification time and inode; any other is computed anew.
"""

import contextlib
import hashlib
import json
import secrets
from pathlib import Path

from pipeline.errors import UserError


class DigestBook:
    """SHA-256 of files, remembered in one JSON file: {path: [size, mtime_ns, inode, digest]}.

    A book that is missing or cannot be read is an empty one: it only saves time.
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
            stamp = [status.st_size, status.st_mtime_ns, status.st_ino]  # taken before reading: a later change shows
            entry = self._entries.get(key)
            if not fresh and isinstance(entry, list) and entry[:-1] == stamp:
                return entry[-1]
            with path.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}): mend its path or its permissions") from None
        if entry != [*stamp, digest]:
            self._entries[key] = [*stamp, digest]
            self._changed = True
        return digest

    def tree(self, folder: Path, *, fresh: bool = False) -> dict[str, str]:
        """The digest of every file under a folder by its relative name, sorted; of a single file, by its own name.

        Hidden files are left out: no reader takes them, and file managers and git leave theirs everywhere.

        Raises: UserError for a link to a folder or out of `folder`, whose content could change unseen.
        """
        if not folder.is_dir():
            return {folder.name: self.file(folder, fresh=fresh)}
        names = [path.relative_to(folder) for path in folder.rglob("*")]
        names = sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))
        boundary = _boundary(folder.resolve())
        digests = {}
        for name in names:
            path = folder / name
            if path.is_symlink() and (path.is_dir() or not path.resolve().is_relative_to(boundary)):
                raise UserError(f"{path} is a link to {path.readlink()}: put the file itself into {folder}")
            if not path.is_dir():
                digests[name] = self.file(path, fresh=fresh)
        return digests

    def save(self) -> None:
        """Writes the book by rename, and only when an entry changed."""
        if not self._changed:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}")
        temporary.write_text(json.dumps(self._entries, indent=0, sort_keys=True) + "\n", "utf-8")
        temporary.replace(self._path)
        self._changed = False


def _boundary(folder: Path) -> Path:
    """The folder that links must not leave: a snapshot in the hub's cache is made of links to the blobs beside it."""
    for parent in folder.parents:
        if parent.name == "snapshots" and (parent.parent / "blobs").is_dir():
            return parent.parent
    return folder
