"""How a general student is measured."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from pipeline.data.corpus import Corpus, write_shards
from pipeline.evaluate.held_out import MaskedWords, linear_cka
from pipeline.models.loading import load_tokenizer
from pipeline.training.language_model import MEASURED
from tests.helpers.one_process import make_stage


def test_linear_cka_is_the_formula_with_centring_matrices() -> None:
    source = np.random.default_rng(0)
    x, y = source.normal(size=(30, 4)), source.normal(size=(30, 6)) + 3.0
    centre = np.eye(30) - 1 / 30

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        return float(np.trace(k @ centre @ m @ centre))

    wanted = hsic(x @ x.T, y @ y.T) / np.sqrt(hsic(x @ x.T, x @ x.T) * hsic(y @ y.T, y @ y.T))
    assert linear_cka(x, y) == pytest.approx(wanted)


def test_a_rotation_a_scale_and_a_shift_do_not_change_linear_cka() -> None:
    source = np.random.default_rng(1)
    x = source.normal(size=(40, 5))
    rotation = np.linalg.qr(source.normal(size=(5, 5))).Q
    assert linear_cka(x, 3 * x @ rotation + 7) == pytest.approx(1.0)
    assert linear_cka(x, np.zeros((40, 2))) == 0.0


def test_masked_words_are_scored_as_a_slow_loop_over_blocks_scores_them(tiny_template: Path, tmp_path: Path) -> None:
    tokenizer, source = load_tokenizer(tiny_template / "model"), np.random.default_rng(2)
    blocks = [np.array([2, *source.integers(5, 40, size), 3]) for size in (14, 30, 22)]
    write_shards(blocks, tmp_path, shard_blocks=8, vocab_size=len(tokenizer))
    metric = MaskedWords(Corpus(tmp_path), tokenizer, make_stage(tmp_path))
    model: Any = AutoModelForMaskedLM.from_pretrained(tiny_template / "model").eval()
    found = metric.outputs(model)
    right, gaps = np.zeros((3, 2)), []
    for row in range(3):
        ids, positions, wanted = metric.blocks.masked(row, MEASURED)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor(ids[None])).logits[0, positions]
        right[row] = (logits.argmax(dim=-1).numpy() == wanted).sum(), len(wanted)
        gaps += (-logits.log_softmax(dim=-1)[torch.arange(len(wanted)), torch.tensor(wanted)]).tolist()
    assert metric.statistics(found).tolist() == right.tolist()
    assert metric.score(right, teacher=right) == right[:, 0].sum() / right[:, 1].sum()
    assert metric.values(found) == pytest.approx(gaps, abs=1e-4)
    assert metric.agreement(found, found) == 1.0
