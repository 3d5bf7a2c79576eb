"""Text files, line by line: UTF-8 with or without a byte-order mark, plain or compressed (.gz, .bz2, .xz, .zip)."""

import bz2
import codecs
import gzip
import json
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, cast

from pipeline.errors import UserError

# RuntimeError: a .zip with a password.
READ_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)
CHUNK_BYTES = 1 << 20


@contextmanager
def _open_zip(path: Path, _mode: str) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        if len(names) != 1:
            raise UserError(f"{path}: holds {', '.join(names) or 'nothing'}; unzip it and name the file to use")
        with archive.open(names[0]) as member:
            yield member


_Opener = Callable[[Path, str], AbstractContextManager[IO[bytes]]]
_OPENERS = cast(dict[str, _Opener], {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zip": _open_zip})


def is_compressed(path: Path) -> bool:
    """Whether the file's name says so."""
    return path.suffix.lower() in _OPENERS


def format_suffix(path: Path) -> str:
    """The suffix that names the format, in lower case: `.csv` for `reviews.CSV` and for `reviews.csv.gz`."""
    return Path(path.stem if is_compressed(path) else path.name).suffix.lower()


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The decompressed bytes of a file. Raises UserError where it cannot be opened, or cannot be read to its end."""
    opener = _OPENERS.get(path.suffix.lower(), cast(_Opener, open))
    try:
        with opener(path, "rb") as stream:
            yield stream
    except READ_ERRORS as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise UserError(f"{path}: cannot be read: {reason or error}") from None


def read_lines(path: Path, *, begin: int = 0, end: int | None = None) -> Iterator[tuple[int, str]]:
    """Lines with their line ends, and their numbers from 1. Only a line feed ends a line.

    Args: begin, end: bytes of a file that is not compressed; each is where a line begins. Numbers count from `begin`.
    Raises: UserError, with file and line, for bytes that are not UTF-8; with the file, for one that is damaged.
    """
    with open_bytes(path) as stream:
        if begin:
            stream.seek(begin)
        position = begin
        for number, line in enumerate(stream, start=1):
            if end is not None and position >= end:
                return
            try:
                text = (line if position else line.removeprefix(codecs.BOM_UTF8)).decode("utf-8")
            except UnicodeDecodeError as error:
                where = f"{path}:{lines_before(path, begin) + number}"
                wrong = error.object[error.start]
                raise UserError(f"{where}: not UTF-8 (byte 0x{wrong:02x}); save the file as UTF-8") from None
            position += len(line)
            yield number, text


def lines_before(path: Path, begin: int) -> int:
    """The number of lines before a byte of a file that is not compressed. It reads all of them."""
    lines = 0
    with open_bytes(path) as stream:
        while begin > 0 and (chunk := stream.read(min(begin, CHUNK_BYTES))):
            lines += chunk.count(b"\n")
            begin -= len(chunk)
    return lines


def check_characters(value: Any, what: str) -> None:
    """Raises ValueError with half a sentence for a value of JSON in which half of a surrogate pair stands."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} holds half of a surrogate pair, which is no character; remove it") from None
