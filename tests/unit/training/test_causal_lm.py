"""Training of a decoder: what is predicted, against a slow loop; what perplexity and bits a byte are."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.data.corpus import Corpus, write_shards
from pipeline.training.batches import BatchPlan
from pipeline.training.causal_lm import CausalBlocks, bits_a_byte, perplexity
from pipeline.training.language_model import LanguageModel
from tests.helpers.decoders import DECODERS, decoder
from tests.helpers.one_process import make_stage

LENGTHS = (5, 9, 4, 7)


@pytest.fixture
def blocks(tmp_path: Path) -> CausalBlocks:
    random = np.random.default_rng(0)
    write_shards((random.integers(1, 300, n) for n in LENGTHS), tmp_path, shard_blocks=3, vocab_size=300)
    return CausalBlocks(Corpus(tmp_path), np.arange(len(LENGTHS)))


def slow(model: torch.nn.Module, blocks: CausalBlocks) -> list[float]:
    """The cross-entropy of each token but the first of each block, one prefix at a time."""
    nats = []
    for row in range(len(LENGTHS)):
        block = blocks.corpus[row].tolist()
        for place in range(1, len(block)):
            logits = model(torch.tensor([block[:place]])).logits[0, -1].tolist()
            nats.append(math.log(sum(math.exp(z) for z in logits)) - logits[block[place]])
    return nats


@torch.no_grad()
@pytest.mark.parametrize("kind", DECODERS)
def test_the_loss_is_the_mean_cross_entropy_of_the_next_tokens_however_the_batch_is_cut(
    kind: str, blocks: CausalBlocks
) -> None:
    model = decoder(kind, num_hidden_layers=1)
    right = slow(model, blocks)
    plan = BatchPlan(blocks.lengths, batch_size=4, epochs=1, micro_batch_tokens=10, seed=0)
    batch = plan.at(0)
    assert len(batch.micro_batches) > 1
    parts = [
        blocks.loss(LanguageModel(model), blocks.collate(rows, 0), batch)["causal_lm"] for rows in batch.micro_batches
    ]
    assert sum(part.item() for part in parts) == pytest.approx(sum(right) / len(right), rel=1e-5)
    assert blocks.predicted_count(batch) == len(right) == sum(LENGTHS) - len(LENGTHS)


@torch.no_grad()
def test_perplexity_is_the_exponential_of_the_mean_and_bits_a_byte_those_of_all_tokens(
    blocks: CausalBlocks, tmp_path: Path
) -> None:
    model = decoder("gpt2", num_hidden_layers=1)
    right = slow(model, blocks)
    found = blocks.measure(LanguageModel(model), make_stage(tmp_path), tokens=20)
    assert found == pytest.approx(math.exp(sum(right) / len(right)), rel=1e-5)
    assert bits_a_byte(sum(right), 40) == pytest.approx(sum(right) / math.log(2) / 40)


def test_a_decoder_that_knows_nothing_has_the_perplexity_of_its_pieces() -> None:
    assert perplexity(7 * math.log(300), 7) == pytest.approx(300)
