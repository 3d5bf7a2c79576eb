"""Files that are whole or not there, and what they hold: write, fsync, checksum."""

import contextlib
import hashlib
import os
import secrets
from pathlib import Path


def checksum(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new one, never half; unchanged text changes no file."""
    content = text.encode()
    with contextlib.suppress(OSError):
        if path.read_bytes() == content:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")  # on a shared disk process numbers repeat
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def sync_folder(folder: Path) -> None:
    """fsync everything in a folder, then the folder."""
    for path in [*sorted(folder.rglob("*"), reverse=True), folder]:
        sync(path)


def sync(path: Path) -> None:
    """fsync one file or folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
