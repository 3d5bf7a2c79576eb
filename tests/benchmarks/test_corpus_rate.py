"""The rates of a corpus, on a tiny tokenizer."""

from pathlib import Path

import pytest

from benchmarks import corpus_rate
from benchmarks.scale_page import HELD, PART
from pipeline.data.documents import PART_BYTES


def test_a_corpus_is_measured(tiny_template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_rate, "TEXT_BYTES", 50_000)
    text = (tiny_template / "text.txt").read_bytes()
    found = corpus_rate.measure(tiny_template / "model", text)
    assert found["mb_a_core_second"] > 0
    assert 1 < found["text_a_token"] < 20
    assert 1 < found["tokens_a_block"] <= corpus_rate.LENGTH
    assert 2 / found["text_a_token"] < found["stored_for_text"] < 1.5  # two bytes a token, and the blocks


def test_the_page_calculates_with_the_product_s_own_numbers() -> None:
    assert (PART, HELD) == (PART_BYTES, 4 + 8 + 8 + 8)
