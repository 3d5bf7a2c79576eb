"""Files of word vectors, read into words and a table.

A GloVe or word2vec text file (plain, compressed, or the only file of a .zip), or a folder that holds one .npy table
(floats, a row for each word) and one .parquet whose first column of strings holds the words in the same order.
"""

from pathlib import Path

import numpy as np

from pipeline.data.parquet import is_text, open_parquet
from pipeline.data.text_files import read_lines
from pipeline.errors import UserError, require


def read_vectors(path: Path, *, vector_words: int) -> tuple[list[str], np.ndarray]:
    """The first `vector_words` words and their vectors (W, D) float32, in the order of the file.

    Raises: UserError, with file and line, where the file does not hold word vectors.
    """
    return (_read_folder if path.is_dir() else _read_text)(path, vector_words)


def _read_folder(folder: Path, vector_words: int) -> tuple[list[str], np.ndarray]:
    tables, indices = sorted(folder.glob("*.npy")), sorted(folder.glob("*.parquet"))
    if len(tables) != 1 or len(indices) != 1:
        raise UserError(
            f"{folder}: a folder of word vectors holds one .npy table and one .parquet with its words; "
            f"here are {len(tables)} and {len(indices)}"
        )
    try:
        table = np.load(tables[0], mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{tables[0]}: the word vectors cannot be read ({error})") from None
    with open_parquet(indices[0]) as index:
        columns = [column.name for column in index.schema_arrow if is_text(column.type)]
        require(columns, f"{indices[0]}: no column of strings that could be the words")
        rows = index.metadata.num_rows
        words = index.read(columns=columns[:1]).column(0).slice(0, vector_words).to_pylist()
    if table.ndim != 2 or not np.issubdtype(table.dtype, np.floating) or len(table) != rows:
        raise UserError(
            f"{tables[0]}: holds {table.dtype} in the shape {table.shape}; floats in {rows} rows are needed, one for"
            f" each word of {indices[0].name}"
        )
    return [word or "" for word in words], np.array(table[:vector_words], dtype=np.float32)


def _read_text(path: Path, vector_words: int) -> tuple[list[str], np.ndarray]:
    words: list[str] = []
    vectors: list[np.ndarray] = []
    width = 0
    for number, line in read_lines(path):
        fields = line.rstrip("\r\n ").split(" ")
        if number == 1 and len(fields) == 2:  # word2vec's header: words, dimensions
            continue
        width = width or len(fields) - 1
        if len(fields) <= max(1, width) or (len(fields) > width + 1 and _is_number(fields[1])):
            wanted = f"a word and {width} numbers" if width else "a word and its numbers"
            raise UserError(f"{path}:{number}: {wanted}, separated by single spaces, are needed here")
        try:
            vectors.append(np.array(fields[-width:], dtype=np.float32))
        except ValueError as error:
            raise UserError(f"{path}:{number}: a word and {width} numbers are needed here ({error})") from None
        words.append(" ".join(fields[:-width]))  # some tables hold 'words' with spaces; they are left out later
        if len(words) == vector_words:
            break
    require(words, f"{path}: no word vectors in this file")
    return words, np.stack(vectors)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
