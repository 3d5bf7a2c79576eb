"""Sentence embeddings: which texts of a row are sequences, and pairs that measure."""

from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from pipeline.config.data import Task
from pipeline.models.loading import load_tokenizer
from pipeline.tasks import KINDS
from pipeline.tasks.tokenised import TokenisedTexts
from tests import tiny

TEXTS = ["the film is good", "a dull story", "the cast was very unwatchable and the plot was cold ."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_model(tmp_path_factory.mktemp("model"))


def tokenised(folder: Path, rows: Dataset, *columns: str) -> TokenisedTexts:
    task = Task(kind="embedding")
    return TokenisedTexts(rows, load_tokenizer(folder), text_columns=columns, max_length=24, task=task)


def test_both_texts_of_a_pair_are_sequences_and_of_a_variant_the_varied_one(folder: Path) -> None:
    replaced = [[], [{"column": "b"}], [{"column": "a"}]]
    rows = Dataset.from_dict({"a": TEXTS, "b": TEXTS[::-1], "replaced": replaced})
    texts = tokenised(folder, rows, "a", "b")
    assert texts.row.tolist() == [0, 0, 1, 2]
    assert texts.part.tolist() == [0, 1, 1, 0]


def test_predictions_are_the_cosines_of_the_pairs(folder: Path) -> None:
    rows = Dataset.from_dict({"a": TEXTS[:2], "b": TEXTS[1:]})
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1], [0, 1]])
    assert KINDS["embedding"].predictions(vectors, tokenised(folder, rows, "a", "b"), rows).tolist() == [0.6, 1]
