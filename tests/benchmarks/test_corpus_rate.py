"""The rates of a corpus, on a tiny tokenizer."""

from pathlib import Path

import pytest

from benchmarks import corpus_rate


def test_a_corpus_is_measured(tiny_template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_rate, "TEXT_BYTES", 50_000)
    text = (tiny_template / "text.txt").read_bytes()
    found = corpus_rate.measure(tiny_template / "model", text)
    assert found["mb_per_core_second"] > 0
    assert 1 < found["text_per_token"] < 20
    assert 1 < found["tokens_per_block"] <= corpus_rate.LENGTH
    assert 2 / found["text_per_token"] < found["stored_per_text"] < 1.5  # two bytes a token, and the blocks
