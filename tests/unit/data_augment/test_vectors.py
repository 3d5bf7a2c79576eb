"""Word vectors: every format gives the same table, and neighbours are the nearest words by cosine."""

import bz2
import gzip
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_augment import vectors as vectors_module
from data_augment.vectors import WordVectors, load_vectors
from pipeline.errors import UserError

GLOVE = """\
the 1 0 0
, 1 1 1
film 0 2 0
movie 0 3 0.1
Film 0 2 0.1
films 0 1 0.5
1999 0 1 0
nothing 0 0 0
well-made 0.5 0.5 0
"""


def write(path: Path, text: str = GLOVE) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("vectors.txt", text)
    else:
        path.write_bytes(
            {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}.get(path.suffix, bytes)(text.encode())
        )
    return path


def write_folder(folder: Path, words: list[str], table: np.ndarray) -> Path:
    folder.mkdir()
    np.save(folder / "table.npy", table)
    pq.write_table(pa.table({"rank": list(range(len(words))), "word": words}), folder / "words.parquet")
    return folder


@pytest.fixture
def glove(tmp_path: Path) -> WordVectors:
    return load_vectors(write(tmp_path / "glove.txt"), vector_words=100)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zip"])
def test_a_compressed_file_gives_the_same_vectors(tmp_path: Path, glove: WordVectors, suffix: str):
    packed = load_vectors(write(tmp_path / f"packed{suffix}"), vector_words=100)
    assert packed.words == glove.words
    assert np.array_equal(packed.table_WD, glove.table_WD)


def test_a_folder_of_table_and_words_gives_the_same_vectors(tmp_path: Path, glove: WordVectors):
    lines = [line.split() for line in GLOVE.splitlines()]
    table = np.array([line[1:] for line in lines], dtype=np.float32)
    folder = write_folder(tmp_path / "folder", [line[0] for line in lines], table)
    packed = load_vectors(folder, vector_words=100)
    assert packed.words == glove.words
    assert np.array_equal(packed.table_WD, glove.table_WD)


def test_words2vec_header_is_not_a_word(tmp_path: Path, glove: WordVectors):
    assert load_vectors(write(tmp_path / "w2v.txt", "9 3\n" + GLOVE), vector_words=100).words == glove.words


def test_punctuation_numbers_and_zero_vectors_are_left_out(glove: WordVectors):
    assert glove.words == ["the", "film", "movie", "Film", "films", "well-made"]


def test_vectors_have_length_one(glove: WordVectors):
    assert np.linalg.norm(glove.table_WD, axis=1) == pytest.approx(1)


def test_only_the_first_words_are_read(tmp_path: Path):
    assert load_vectors(write(tmp_path / "glove.txt"), vector_words=3).words == ["the", "film"]


def test_neighbours_are_the_nearest_by_cosine_without_the_word_in_any_case(glove: WordVectors):
    [found] = glove.neighbours(["film"], 3)
    assert [word for word, _ in found] == ["movie", "films", "well-made"]
    assert [cosine for _, cosine in found] == pytest.approx([3 / np.hypot(3, 0.1), 1 / np.hypot(1, 0.5), 0.5**0.5])


def test_a_word_without_a_vector_has_no_neighbours(glove: WordVectors):
    assert glove.neighbours(["zyx", "nothing", ","], 3) == [[], [], []]


def test_a_capitalised_word_is_found_in_lower_case(glove: WordVectors):
    assert glove.neighbours(["MOVIE"], 2) == glove.neighbours(["movie"], 2)


def test_a_small_table_gives_fewer_than_k_neighbours(glove: WordVectors):
    assert len(glove.neighbours(["film"], 50)[0]) == len(glove.words) - 2


def test_ties_go_by_position_in_the_table(tmp_path: Path):
    names = [f"w{letter}" for letter in "abcdefghij"]
    table = load_vectors(
        write(tmp_path / "ties.txt", "".join(f"{name} 1 0\n" for name in ["query", *names])), vector_words=100
    )
    assert [word for word, _ in table.neighbours(["query"], 4)[0]] == names[:4]


def test_of_a_word_that_stands_there_again_the_first_row_counts(tmp_path: Path, glove: WordVectors):
    again = load_vectors(
        write(tmp_path / "again.txt", "movie 0 0 0\n" + GLOVE + "film 9 9 9\nfilms 0 1 0\n"), vector_words=100
    )
    assert again.words == glove.words
    assert np.array_equal(again.table_WD, glove.table_WD)


def test_blocks_change_nothing(glove: WordVectors, monkeypatch: pytest.MonkeyPatch):
    whole = glove.neighbours(glove.words, 3)
    monkeypatch.setattr(vectors_module, "BLOCK_CELLS", 1)
    assert glove.neighbours(glove.words, 3) == whole


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("film 1 2 3\nmovie 1 2\n", ":2: a word and 3 numbers"),
        ("film 1 2 3\nmovie 1 2 3 4\n", ":2: a word and 3 numbers"),
        ("film 1 2 3\nmovie 1 x 3\n", ":2: a word and 3 numbers"),
        ("film\n", ":1: a word and its numbers"),
        ("film 1 nan\n", "'film'"),
        ("", "no word vectors"),
        (", 1 2\n", "none of the first 1 entries"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, text: str, place: str):
    with pytest.raises(UserError, match=place):
        load_vectors(write(tmp_path / "bad.txt", text), vector_words=100)


def test_a_line_that_is_not_utf8_is_an_error(tmp_path: Path):
    (tmp_path / "bad.txt").write_bytes(b"film 1 2\n\xff\xfe 1 2\n")
    with pytest.raises(UserError, match=r"bad.txt:2: not UTF-8"):
        load_vectors(tmp_path / "bad.txt", vector_words=100)


def test_a_cut_gzip_file_is_an_error(tmp_path: Path):
    (tmp_path / "bad.gz").write_bytes(gzip.compress(GLOVE.encode())[:-20])
    with pytest.raises(UserError, match=r"bad\.gz"):
        load_vectors(tmp_path / "bad.gz", vector_words=100)


def test_a_zip_of_several_files_asks_for_one(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.txt", GLOVE)
        archive.writestr("b.txt", GLOVE)
    with pytest.raises(UserError, match=r"a\.txt, b\.txt"):
        load_vectors(tmp_path / "two.zip", vector_words=100)


def test_a_folder_whose_parts_do_not_fit_is_an_error(tmp_path: Path):
    folder = write_folder(tmp_path / "folder", ["film", "movie"], np.ones((3, 2), dtype=np.float32))
    with pytest.raises(UserError, match="2 rows are needed"):
        load_vectors(folder, vector_words=100)


def test_a_pickled_table_is_never_loaded(tmp_path: Path):
    folder = write_folder(tmp_path / "folder", ["film"], np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match="cannot be read"):
        load_vectors(folder, vector_words=100)


def test_an_empty_folder_is_an_error(tmp_path: Path):
    with pytest.raises(UserError, match=r"one .npy table and one .parquet"):
        load_vectors(tmp_path, vector_words=100)


def test_words_without_a_vector_or_with_one_of_zeros_have_no_neighbours(glove: WordVectors):
    assert glove.neighbours(["unheard", "nothing", "film"], 2)[:2] == [[], []]
    assert all(np.isfinite(score) for _, score in glove.neighbours(["film"], 9)[0])
