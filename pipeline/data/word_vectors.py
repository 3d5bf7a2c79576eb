"""Files of word vectors, read into words and a table.

A GloVe or word2vec text file (plain, .gz, .bz2, or the only file of a .zip), or a folder that holds one .npy table
(float, one row a word) and one .parquet whose first string column holds the words in the same order.
"""

import bz2
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

from pipeline.errors import UserError


def read_vectors(path: Path, *, vector_words: int) -> tuple[list[str], np.ndarray]:
    """The first `vector_words` words and their vectors (W, D) float32, as they stand in the file.

    Raises: UserError with file and line where the file is not one of word vectors.
    """
    return (_read_folder if path.is_dir() else _read_text)(path, vector_words)


def _read_folder(folder: Path, vector_words: int) -> tuple[list[str], np.ndarray]:
    import pyarrow as pa  # noqa: PLC0415 (the plan of a text file needs none)
    import pyarrow.parquet as pq  # noqa: PLC0415

    tables, indices = sorted(folder.glob("*.npy")), sorted(folder.glob("*.parquet"))
    if len(tables) != 1 or len(indices) != 1:
        raise UserError(
            f"{folder}: a folder of word vectors holds one .npy table and one .parquet with its words; "
            f"here are {len(tables)} and {len(indices)}"
        )
    try:
        table = np.load(tables[0], mmap_mode="r", allow_pickle=False)
        index = pq.ParquetFile(indices[0])
    except (ValueError, OSError, EOFError, pa.ArrowException) as error:
        raise UserError(f"{folder}: the word vectors cannot be read ({error})") from error
    columns = [column.name for column in index.schema_arrow if pa.types.is_string(column.type)]
    if not columns:
        raise UserError(f"{indices[0]}: no column of strings that could be the words")
    if table.ndim != 2 or not np.issubdtype(table.dtype, np.floating) or len(table) != index.metadata.num_rows:
        raise UserError(
            f"{tables[0]}: a {table.dtype} table of shape {table.shape} is given, and floats in "
            f"{index.metadata.num_rows} rows are needed, one for each word of {indices[0].name}"
        )
    words = index.read(columns=columns[:1]).column(0).slice(0, vector_words).to_pylist()
    return [word or "" for word in words], np.array(table[:vector_words], dtype=np.float32)


def _read_text(path: Path, vector_words: int) -> tuple[list[str], np.ndarray]:
    words: list[str] = []
    vectors: list[np.ndarray] = []
    width = 0
    with _open_text(path) as lines:
        for number, line in _numbered(lines, path):
            fields = line.rstrip("\r\n ").split(" ")
            if number == 1 and len(fields) == 2:  # word2vec's header: words, dimensions
                continue
            width = width or len(fields) - 1
            if len(fields) <= max(1, width) or (len(fields) > width + 1 and _is_number(fields[1])):
                wanted = f"a word and {width} numbers" if width else "a word and its numbers"
                raise UserError(f"{path}:{number}: {wanted}, parted by single spaces, are needed here")
            try:
                vectors.append(np.array(fields[-width:], dtype=np.float32))
            except ValueError as error:
                raise UserError(f"{path}:{number}: a word and {width} numbers are needed here ({error})") from error
            words.append(" ".join(fields[:-width]))  # some tables hold 'words' with spaces; they are left out later
            if len(words) == vector_words:
                break
    if not words:
        raise UserError(f"{path}: no word vectors in this file")
    return words, np.stack(vectors)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbered(lines: TextIO, path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        for number, line in enumerate(lines, start=1):
            yield number, line
    except UnicodeDecodeError as error:
        raise UserError(f"{path}:{number + 1}: not UTF-8 near this line ({error.reason})") from error
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise UserError(f"{path}:{number + 1}: the file cannot be read further ({error})") from error


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    """Lines end at \\n alone: some tables hold other separators as words."""
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if not name.endswith("/")]
                if len(names) != 1:
                    raise UserError(f"{path}: holds {', '.join(names) or 'nothing'}; unzip it and name the one to use")
                with archive.open(names[0]) as member:
                    yield io.TextIOWrapper(member, encoding="utf-8", newline="\n")
        else:
            opener = {".gz": gzip.open, ".bz2": bz2.open}.get(path.suffix, open)
            with opener(path, "rt", encoding="utf-8", newline="\n") as lines:
                yield lines  # pyright: ignore[reportReturnType]
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: cannot be read as word vectors ({error})") from error
