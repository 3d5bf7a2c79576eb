"""Texts as token rows."""

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from pipeline.hardware import ROUND
from pipeline.models.loading import load_tokenizer
from pipeline.tasks.tokenised import EncodedTexts
from tests.tiny import write_model

TEXTS = [" ".join(["the film is good"] * count) for count in (3, 1, 7, 2, 20, 1, 5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    return load_tokenizer(folder)


def encoded(tokenizer: PreTrainedTokenizerFast, *, cache: Path | None = None) -> EncodedTexts:
    return EncodedTexts(
        Dataset.from_dict({"text": TEXTS}), tokenizer, text_columns=["text"], max_length=24, cache=cache
    )


def test_rows_are_the_tokenizer_s_cut_at_the_length(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = encoded(tokenizer)
    right = tokenizer(TEXTS, truncation=True, max_length=24)["input_ids"]
    assert texts.rows["input_ids"][:] == right
    assert texts.lengths.tolist() == [len(ids) for ids in right] == [14, 6, 24, 10, 24, 6, 22]
    assert len(texts) == 7


def test_the_share_that_the_length_cuts_is_known(tokenizer: PreTrainedTokenizerFast) -> None:
    assert encoded(tokenizer).share_cut() == pytest.approx(2 / 7)


def test_collated_rows_are_padded_to_the_longest_of_them(tokenizer: PreTrainedTokenizerFast) -> None:
    inputs = encoded(tokenizer).collate(np.array([3, 1]))
    texts = [TEXTS[3], TEXTS[1]]
    right = tokenizer(texts, padding=True, pad_to_multiple_of=ROUND, return_tensors="pt", return_token_type_ids=False)
    assert inputs.keys() - right.keys() == {"buckets", "places"}
    assert all(torch.equal(inputs[name], tensor) for name, tensor in right.items())


def test_a_pair_is_one_row_with_token_types(tokenizer: PreTrainedTokenizerFast) -> None:
    first, second = TEXTS[:4], TEXTS[3::-1]
    dataset = Dataset.from_dict({"question": first, "answer": second})
    texts = EncodedTexts(dataset, tokenizer, text_columns=["question", "answer"], max_length=24)
    inputs = texts.collate(np.arange(4))
    right = tokenizer(
        first, second, truncation=True, max_length=24, padding=True, pad_to_multiple_of=ROUND, return_tensors="pt"
    )
    assert inputs.keys() == right.keys()
    assert all(torch.equal(inputs[name], right[name]) for name in inputs)


def test_rows_in_a_file_are_those_in_memory(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    texts = encoded(tokenizer, cache=tmp_path / "tokens.arrow")
    assert (tmp_path / "tokens.arrow").is_file()
    assert texts.rows["input_ids"][:] == encoded(tokenizer).rows["input_ids"][:]
