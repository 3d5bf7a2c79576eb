"""Masked-LM training: exact means, and blocks that only measure."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.data.corpus import Corpus, blocks_of, write_shards
from pipeline.models.collate import Rows
from pipeline.models.loading import load_language_model, load_tokenizer
from pipeline.training.batches import BatchPlan, GlobalBatch
from pipeline.training.language_model import MEASURED, LanguageModel
from pipeline.training.masked_lm import MaskedBlocks, first_blocks, split_blocks, start_bias
from tests.helpers.one_process import make_stage
from tests.tiny import write_model, write_text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def corpus(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Tiny text in which some words are unknown to the tokenizer."""
    path = tmp_path_factory.mktemp("corpus")
    text = write_text(path / "text.txt", lines=20).read_text(encoding="utf-8")
    text = re.sub(r"\b(is|and|was|very)\b", "xylophone", text)
    blocks = blocks_of(text.split("\n\n"), load_tokenizer(folder), length=24)
    write_shards(blocks, path, vocab_size=50, shard_blocks=16)
    return Corpus(path)


def masked_blocks(corpus: Corpus, folder: Path, rows: Rows | None = None) -> MaskedBlocks:
    rows = np.arange(len(corpus)) if rows is None else rows
    return MaskedBlocks(corpus, rows, load_tokenizer(folder), vocab_size=50, seed=3, share=0.15, packed=True)


def batch_of(blocks: MaskedBlocks) -> GlobalBatch:
    return BatchPlan(blocks.lengths, batch_size=16, epochs=1, micro_batch_tokens=64, seed=0).at(0)


def test_the_loss_is_a_mean_over_the_masked_tokens_of_the_whole_batch(corpus: Corpus, folder: Path) -> None:
    blocks, model = masked_blocks(corpus, folder), LanguageModel(load_language_model(folder).eval())
    batch = batch_of(blocks)
    whole = blocks.collate(np.concatenate(batch.micro_batches), 0)
    assert len(batch.micro_batches) > 1
    assert (whole.input_ids == 1).any()  # [UNK]: a word like others
    right = torch.nn.functional.cross_entropy(model(whole), whole.targets["predicted_ids"])
    parts = [blocks.loss(model, blocks.collate(rows, 0), batch)["masked_lm"] for rows in batch.micro_batches]
    assert sum(part.item() for part in parts) == pytest.approx(right.item(), rel=1e-5)


def test_labels_are_what_stood_at_the_masked_positions_in_their_order(corpus: Corpus, folder: Path) -> None:
    rows = np.array([5, 2, 9])
    batch = masked_blocks(corpus, folder).collate(rows, 0)
    masked_BT, predicted_ids = batch.targets["predicted"], batch.targets["predicted_ids"]
    before = [
        corpus[int(row)][masked[: len(corpus[int(row)])].numpy()] for row, masked in zip(rows, masked_BT, strict=True)
    ]
    assert predicted_ids.tolist() == np.concatenate(before).tolist()
    changed = batch.input_ids[masked_BT] != predicted_ids
    assert changed.float().mean() > 0.5


def test_masks_change_from_epoch_to_epoch_and_not_with_the_company(corpus: Corpus, folder: Path) -> None:
    blocks = masked_blocks(corpus, folder)
    assert not np.array_equal(blocks.masked(2, 0)[1], blocks.masked(2, 1)[1])
    of_others = masked_blocks(corpus, folder, rows=np.array([2, 7]))
    assert np.array_equal(blocks.masked(2, 0)[0], of_others.masked(0, 0)[0])


def test_masked_accuracy_is_the_share_of_masked_tokens_found(corpus: Corpus, folder: Path, tmp_path: Path) -> None:
    blocks, model = masked_blocks(corpus, folder), LanguageModel(load_language_model(folder))
    the = load_tokenizer(folder).get_vocab()["the"]
    with torch.no_grad():  # so that it always says 'the'
        model.model.get_parameter("cls.predictions.bias")[the] = 1e3
    predicted_ids = blocks.collate(np.arange(len(corpus)), MEASURED).targets["predicted_ids"]
    accuracy = blocks.measure(model, make_stage(tmp_path), tokens=100)
    assert accuracy and accuracy == pytest.approx(np.mean(predicted_ids.numpy() == the))


def test_a_new_head_starts_from_the_tokens_shares_of_the_corpus(corpus: Corpus, folder: Path) -> None:
    model = load_language_model(folder)
    bias = model.get_parameter("cls.predictions.bias")
    torch.nn.init.zeros_(bias)
    start_bias(model, corpus, special=[0, 1, 2, 3])
    tokens = [token for row in range(len(corpus)) for token in corpus[row].tolist() if token > 3]
    counts = [0.5 + tokens.count(token) for token in range(len(bias))]
    assert bias.tolist() == pytest.approx(np.log(np.array(counts) / sum(counts)).tolist())


def test_a_head_that_was_trained_keeps_its_bias(corpus: Corpus, folder: Path) -> None:
    model = load_language_model(folder)
    bias = model.get_parameter("cls.predictions.bias")
    torch.nn.init.constant_(bias, 0.25)
    start_bias(model, corpus, special=[])
    assert bool((bias == 0.25).all())


@pytest.mark.parametrize(("tokens", "blocks"), [(0, 5), (30, 3), (39, 3), (40, 4), (1, 2), (99, 5)])
def test_a_budget_of_tokens_takes_the_first_blocks(tokens: int, blocks: int) -> None:
    assert first_blocks(np.array([10] * 5), tokens) == blocks


def test_a_corpus_of_one_block_has_no_second_one() -> None:
    assert first_blocks(np.array([10]), 1000) == 1


def test_blocks_that_measure_are_not_trained_on() -> None:
    trained, measured = split_blocks(50, held_out=0.1, seed=0)
    assert sorted([*trained, *measured]) == list(range(50))
    assert len(measured) == 5


@pytest.mark.parametrize(("count", "held_out", "measured"), [(50, 0.0, 0), (50, 0.001, 1), (2, 0.9, 1), (1, 0.5, 0)])
def test_at_least_one_block_measures_and_one_trains(count: int, held_out: float, measured: int) -> None:
    assert [len(rows) for rows in split_blocks(count, held_out=held_out, seed=0)] == [count - measured, measured]
