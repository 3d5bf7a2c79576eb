"""The folder of candidates: shards of the different texts, written, read back, and refused where they are not whole."""

import random
import string
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_augment import candidates_folder
from data_augment.candidates_folder import IN_MEMORY, SCHEMA, read_candidates, shard_path, write_candidates
from data_augment.proposer import shards, unique_texts
from pipeline.errors import UserError
from tests.helpers.tiny_masked_lm import TEXTS, propose, propose_table


def test_each_different_text_stands_once_in_the_order_of_its_first_occurrence():
    assert unique_texts(["b", "a", "b", "c", "a"]) == ["b", "a", "c"]


def test_shards_are_fixed_slices():
    assert shards(["a", "b", "c"], shard_texts=2) == [["a", "b"], ["c"]]
    assert shards([], shard_texts=2) == [[]]


@pytest.fixture
def folder(tmp_path: Path, tokenizer, model) -> Path:
    parts = shards(TEXTS, shard_texts=3)
    for index, texts in enumerate(parts):
        path = shard_path(tmp_path / "candidates", index=index, count=len(parts))
        write_candidates(partial(propose_table, texts, tokenizer, model), path)
    return tmp_path / "candidates"


def test_a_folder_gives_back_what_was_proposed(folder, tokenizer, model):
    found = read_candidates(folder)
    rows = propose(TEXTS, tokenizer, model)
    assert list(found) == TEXTS
    for text in TEXTS:
        expected = [
            (row["start"], row["end"], tuple(row["candidates"]), row["source"]) for row in rows if row["text"] == text
        ]
        assert found[text] == expected


def test_of_many_texts_each_shard_is_read_once(folder, monkeypatch):
    found, read = read_candidates(folder), []
    whole = candidates_folder._read_shard
    texts = [TEXTS[number] for number in (3, 0, 3, 2)]
    expected = {text: found[text] for text in texts}
    monkeypatch.setattr(candidates_folder, "_read_shard", lambda path, wanted: read.append(path) or whole(path, wanted))
    assert found.of([*texts, "unknown"]) == expected
    assert read == sorted((folder / "data").glob("*.parquet"))


def test_a_text_without_candidates_is_not_in_the_folder(folder):
    found = read_candidates(folder)
    assert "unknown" not in found
    assert found.get("unknown", ()) == ()


def test_a_shard_has_the_documented_name_and_leaves_no_temporary_file(folder):
    assert sorted(path.name for path in (folder / "data").glob("[!.]*")) == [
        "candidates-00000-of-00002.parquet",
        "candidates-00001-of-00002.parquet",
    ]


def test_the_same_texts_give_the_same_bytes(tmp_path, tokenizer, model):
    for name in ("one", "two"):
        write_candidates(lambda: propose_table(TEXTS, tokenizer, model), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_words_of_a_long_text_hold_it_once_each_row_group(tmp_path, monkeypatch):
    monkeypatch.setattr(candidates_folder, "BYTES_AT_ONCE", 2**20)
    long = "".join(random.Random(0).choices(string.ascii_letters, k=100_000))  # nothing that compression could save
    row = {"end": 4, "word": "word", "source": "masked_lm", "candidates": ["a"], "scores": [0.0]}
    rows = [row | {"text": text, "start": start} for text in ("short", long) for start in range(50)]
    path = shard_path(tmp_path, index=0, count=1)
    write_candidates(lambda: pa.Table.from_pylist(rows, schema=IN_MEMORY), path)
    assert pq.ParquetFile(path).num_row_groups == 10 and path.stat().st_size < 2**20  # 5 MB of texts in all rows
    assert pq.read_schema(path).equals(SCHEMA)
    found = read_candidates(tmp_path)
    assert list(found) == ["short", long] and [word.start for word in found[long]] == list(range(50))
    assert found.of([long]) == {long: found[long]}


def test_a_shard_without_rows_can_be_read(tmp_path, tokenizer, model):
    write_candidates(lambda: propose_table(["..."], tokenizer, model), shard_path(tmp_path, index=0, count=1))
    assert len(read_candidates(tmp_path)) == 0


def test_a_folder_that_lacks_a_shard_is_an_error(folder):
    (folder / "data/candidates-00001-of-00002.parquet").unlink()
    with pytest.raises(UserError, match="not a whole candidates folder"):
        read_candidates(folder)


def test_a_folder_of_something_else_is_an_error(folder):
    path = folder / "data/candidates-00001-of-00002.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["scores"]), path)
    with pytest.raises(UserError, match="'scores'"):
        read_candidates(folder)
