"""Rows as datasets, and as the token sequences that a model reads."""

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from pipeline.config.data import Task
from pipeline.hardware import ROUND
from pipeline.models.collate import collate
from pipeline.models.loading import load_tokenizer
from pipeline.tasks.labelled_data import read_task
from pipeline.tasks.tokenised import TokenisedTexts, as_datasets
from tests.tiny import write_model

TEXTS = [" ".join(["the film is good"] * count) for count in (3, 1, 7, 2, 20, 1, 5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    return load_tokenizer(folder)


def tokenised(tokenizer: PreTrainedTokenizerFast, *, cache: Path | None = None) -> TokenisedTexts:
    return TokenisedTexts(
        Dataset.from_dict({"text": TEXTS}), tokenizer, text_columns=["text"], max_length=24, cache=cache
    )


def test_rows_are_the_tokenizer_s_cut_at_the_length(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = tokenised(tokenizer)
    right = tokenizer(TEXTS, truncation=True, max_length=24)["input_ids"]
    assert texts.rows["input_ids"][:] == right
    assert texts.lengths.tolist() == [len(ids) for ids in right] == [14, 6, 24, 10, 24, 6, 22]
    assert len(texts) == 7


def test_the_share_that_the_length_cuts_is_known(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenised(tokenizer).share_cut() == pytest.approx(2 / 7)


def test_collated_rows_are_padded_to_the_longest_of_them(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = tokenised(tokenizer)
    batch = collate(texts.columns(np.array([3, 1])), texts.pad_id, packed=True)
    rows = [TEXTS[3], TEXTS[1]]
    right = tokenizer(rows, padding=True, pad_to_multiple_of=ROUND, return_tensors="pt")
    assert batch.packing is not None and batch.token_type_ids is None
    assert torch.equal(batch.input_ids, right["input_ids"])
    assert torch.equal(batch.attention_mask, right["attention_mask"])


def test_a_pair_is_one_row_with_token_types(tokenizer: PreTrainedTokenizerFast) -> None:
    first, second = TEXTS[:4], TEXTS[3::-1]
    dataset = Dataset.from_dict({"question": first, "answer": second})
    texts = TokenisedTexts(dataset, tokenizer, text_columns=["question", "answer"], max_length=24)
    batch = collate(texts.columns(np.arange(4)), texts.pad_id, packed=True)
    right = tokenizer(
        first, second, truncation=True, max_length=24, padding=True, pad_to_multiple_of=ROUND, return_tensors="pt"
    )
    assert texts.model_inputs() == ["input_ids", "attention_mask", "token_type_ids"]
    assert batch.packing is None and batch.token_type_ids is not None
    assert torch.equal(batch.input_ids, right["input_ids"])
    assert torch.equal(batch.attention_mask, right["attention_mask"])
    assert torch.equal(batch.token_type_ids, right["token_type_ids"])


def test_rows_in_a_file_are_those_in_memory(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    texts = tokenised(tokenizer, cache=tmp_path / "tokens.arrow")
    assert (tmp_path / "tokens.arrow").is_file()
    assert texts.rows["input_ids"][:] == tokenised(tokenizer).rows["input_ids"][:]


def test_datasets_have_the_tasks_own_columns(tmp_path: Path) -> None:
    rows = "one,two,answer\n" + "".join(f"left {row},right {row},{'ab'[row % 2]}\n" for row in range(20))
    (tmp_path / "train.csv").write_text(rows)
    (tmp_path / "unlabelled.csv").write_text("one,two\nx,y\n")
    task = Task(text="one", text_pair="two", label="answer", labels=("b", "a"))
    data = read_task(task, {name: [tmp_path / f"{name}.csv"] for name in ("train", "unlabelled")})
    datasets = as_datasets(data)
    assert datasets["train"].column_names == ["one", "two", "answer", "id"]
    assert datasets["train"].features["answer"].names == ["b", "a"]
    first = data.splits["train"][0]
    expected = {"one": first.texts[0], "two": first.texts[1], "answer": 1 if first.label == "a" else 0, "id": 0}
    assert datasets["train"][0] == expected
    assert datasets["unlabelled"][0] == {"one": "x", "two": "y", "answer": None, "id": 0}
    assert datasets["train"]["id"][:] == list(range(16))


def test_a_pair_without_its_second_text_is_a_single_text(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(write_model(tmp_path))
    dataset = Dataset.from_dict({"text": ["the film", "the plot", "the cast"], "other": ["is good", "", "was bad"]})
    texts = TokenisedTexts(dataset, tokenizer, text_columns=["text", "other"], max_length=16)
    single = tokenizer(["the plot"])["input_ids"]
    pairs = tokenizer(["the film", "the cast"], ["is good", "was bad"])
    assert texts.rows["input_ids"][:] == [pairs["input_ids"][0], single[0], pairs["input_ids"][1]]
    assert texts.rows["token_type_ids"][1] == [0] * len(single[0])
    assert texts.rows["token_type_ids"][2] == pairs["token_type_ids"][1]


def test_columns_may_be_called_as_those_of_the_tokens(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("length,row\n" + "".join(f"the film is {word} ,{word}\n" for word in 8 * ["good", "dull", "fine"]))
    data = read_task(Task(text="length", label="row"), {"train": [path]})
    dataset, tokenizer = as_datasets(data)["train"], load_tokenizer(write_model(tmp_path))
    texts = TokenisedTexts(
        dataset, tokenizer, text_columns=data.text_columns, max_length=16, label_column=data.label_column
    )
    assert texts.lengths.tolist() == [len(ids) for ids in tokenizer(dataset["length"][:])["input_ids"]]
    assert texts.row.tolist() == list(range(len(dataset)))
    assert texts.rows["labels"][:] == dataset["row"][:]
