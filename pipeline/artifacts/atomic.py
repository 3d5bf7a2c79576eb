"""Files that are whole or not there, and what they hold: write, fsync, checksum."""

import contextlib
import hashlib
import os
import secrets
import shutil
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
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = str(path)  # a full disk names no file
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync(path.parent)


def seal(temporary: Path, path: Path) -> None:
    """Rename a complete file or folder, its checksums in a file beside it; a folder of that name must not exist."""
    sync_tree(temporary)
    write_atomically(seal_of(path), "\n".join(_checksums(temporary)))
    temporary.replace(path)
    sync(path.parent)


def damaged_file(path: Path) -> Path | None:
    """The first file that differs from what was sealed, or the file of checksums if it is unreadable; else None.

    What is not there is damaged, an empty folder too: a kill may come after its checksums and before its name.
    """
    if not path.exists():
        return path
    try:
        sealed = seal_of(path).read_text(encoding="utf-8").splitlines()
        different = sorted({*sealed} ^ {*_checksums(path)}, key=lambda line: line.partition(" ")[2])
    except (OSError, UnicodeDecodeError):
        return seal_of(path)
    return path / different[0].partition(" ")[2] if different else None


def keep_if_sealed(path: Path) -> bool:
    """Whether a file or folder is as it was sealed; else it is removed."""
    damaged = damaged_file(path) is not None
    if damaged:
        remove(path)
    return not damaged


def remove(path: Path) -> None:
    """Remove a file or a folder; nothing where there is none."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def seal_of(path: Path) -> Path:
    """The file of checksums; hidden, so that nothing reads it as data."""
    return path.with_name(f".{path.name}.sha256")


def _checksums(path: Path) -> list[str]:
    """'SHA256 NAME' of each file of a folder; of a file 'SHA256' alone, of nothing no line.

    Hidden files are not counted: file systems put some there (.nfs..., .DS_Store).
    """
    if path.is_file():
        return [checksum(path)]
    files = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    return [f"{checksum(file)} {file.relative_to(path).as_posix()}" for file in files]


def sync_tree(path: Path) -> None:
    """fsync a file, or everything in a folder and then the folder."""
    for inner in [*sorted(path.rglob("*"), reverse=True), path]:
        sync(inner)


def sync(path: Path) -> None:
    """fsync one file, or a folder's list of names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """The same file under a second name, where the file system can; else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
