"""A tiny masked LM, its tokenizer, word vectors, and a world of files for commands on them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from transformers import (
    BertForMaskedLM,
    BertTokenizer,
)

from data_augment.vectors import WordVectors
from tests.helpers.alone import ROWS, run
from tests.helpers.tiny_masked_lm import load_model, load_tokenizer
from tests.tiny import write_model, write_rows, write_vectors


@pytest.fixture
def tokenizer(tmp_path: Path) -> BertTokenizer:
    return load_tokenizer(tmp_path)


@pytest.fixture
def model() -> BertForMaskedLM:
    return load_model()


@pytest.fixture
def vectors() -> WordVectors:
    words = ["films", "slowly", "stories", "zyx", "films-like", "movie", "film"]
    table = np.random.default_rng(0).normal(size=(len(words), 4)).astype(np.float32)
    return WordVectors(words, table / np.linalg.norm(table, axis=1, keepdims=True))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked LM, vectors, a table, and the candidates of its texts."""
    folder = tmp_path_factory.mktemp("alone")
    write_model(folder / "model")
    write_vectors(folder / "vectors.txt")
    write_rows(folder / "rows.csv", rows=ROWS)
    no_tokenizer = shutil.ignore_patterns("tokenizer*", "vocab.txt")
    shutil.copytree(folder / "model", folder / "no_tokenizer", ignore=no_tokenizer)
    assert run(folder, "propose", "--output", "candidates") == 0
    return folder
