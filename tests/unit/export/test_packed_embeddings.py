"""Word embeddings in 4 bits: each row's best scale, unpacked by standard operators to what was packed."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from pipeline.export.four_bits import CLIPS, LARGEST, pack_rows, unpack_rows
from pipeline.export.onnx import export_graph, quantise
from pipeline.export.onnx_session import INT8, open_session
from tests import tiny

RANDOM = np.random.default_rng(0)


class Words(nn.Module):
    """The rows of some token ids."""

    def __init__(self, table: np.ndarray) -> None:
        super().__init__()
        self.table = nn.Embedding.from_pretrained(torch.from_numpy(table))

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.table(input_ids)


class WordsWithTiedHead(Words):
    """The same, and a product with every row, as a masked LM has."""

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.table(input_ids) @ self.table.weight.T


def table_of(rows: int, width: int) -> np.ndarray:
    """Random rows of very different size, one with an outlier, one of zeros."""
    table = RANDOM.standard_normal((rows, width)) * 10.0 ** RANDOM.integers(-4, 3, (rows, 1))
    table[1, 0], table[2] = 100, 0
    return table.astype(np.float32)


def written(folder: Path, words: Words, **options: int) -> Path:
    export_graph(
        words.eval(),
        folder / "float32.onnx",
        {"input_ids": torch.ones((2, 8), dtype=torch.long)},
        dynamic={"input_ids": {0: "batch", 1: "length"}},
        inputs=["input_ids"],
        outputs=["rows"],
    )
    quantise(folder / "float32.onnx", folder / "int8.onnx", **options)
    return folder / "int8.onnx"


def run(path: Path, ids: np.ndarray) -> np.ndarray:
    return np.asarray(open_session(path, threads=1).run(None, {"input_ids": ids})[0])


def slow_row(row: np.ndarray) -> np.ndarray:
    """What a row becomes: every scale tried, number by number."""
    best, least = row * 0, float("inf")
    for clip in CLIPS:
        scale = np.float32(max(abs(row)) * clip / LARGEST)
        numbers = [max(-LARGEST, min(LARGEST, round(float(number / scale)))) if scale else 0 for number in row]
        found = np.array([number * scale for number in numbers], dtype=np.float32)
        error = sum((float(a) - float(b)) ** 2 for a, b in zip(found, row, strict=True))
        if error < least:
            best, least = found, error
    return best


def test_the_file_gives_the_rows_that_a_slow_search_finds(tmp_path: Path) -> None:
    table = table_of(50, 8)
    ids = RANDOM.integers(0, 50, (3, 70))
    found = run(written(tmp_path, Words(table)), ids)
    right = np.stack([slow_row(row) for row in table])[ids]
    assert found == pytest.approx(right, rel=1e-5, abs=1e-30)
    assert (found[ids == 2] == 0).all()


def test_to_pack_a_rounded_table_again_changes_nothing() -> None:
    rounded = unpack_rows(*pack_rows(table_of(200, 64)))
    np.testing.assert_allclose(unpack_rows(*pack_rows(rounded)), rounded, rtol=1e-6)


def test_a_row_loses_less_than_by_its_largest_number_alone() -> None:
    table = table_of(200, 64)
    _, scales = pack_rows(table)
    assert (scales < np.abs(table).max(axis=1, keepdims=True) / LARGEST * 0.99).mean() > 0.5


@pytest.mark.parametrize(("width", "options"), [(7, {}), (8, {"embedding_bits": 8})])
def test_a_table_of_odd_width_and_one_of_8_bits_are_not_packed(
    tmp_path: Path, width: int, options: dict[str, int]
) -> None:
    table = RANDOM.standard_normal((50, width)).astype(np.float32)
    path = written(tmp_path, Words(table), **options)
    ids = np.arange(50)[None]
    assert np.abs(run(path, ids)[0] - table).max() < np.ptp(table) / 200
    assert [list(tensor.dims) for tensor in onnx.load(path).graph.initializer if len(tensor.dims) == 2] == [[50, width]]


def test_a_head_that_shares_the_table_keeps_its_own(tmp_path: Path) -> None:
    table = RANDOM.standard_normal((50, 64)).astype(np.float32)
    ids = np.arange(50)[None]
    right = table @ table.T
    assert np.abs(run(written(tmp_path, WordsWithTiedHead(table)), ids)[0] - right).max() < 0.1 * np.abs(right).max()


def test_a_students_int8_file_holds_its_words_in_half_a_byte_a_number(shipped: Path) -> None:
    embeddings: Any = tiny.load_eager(shipped).get_input_embeddings()
    rows, width = embeddings.weight.shape
    tables = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(shipped / INT8).graph.initializer}
    (packed,) = (array for name, array in tables.items() if name.endswith("_packed"))
    assert packed.dtype == np.uint8
    assert packed.shape == (rows, width // 2)
    assert not any(array.shape == (rows, width) for array in tables.values())
