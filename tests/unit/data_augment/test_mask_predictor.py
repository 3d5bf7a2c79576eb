"""The head of any masked LM, on masked positions alone."""

from typing import Any

import pytest
import torch
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
)

from pipeline.models.loading import separate_head
from tests.helpers.tiny_masked_lm import BERT, SMALL, TEXTS, VOCAB, literal, propose, spread

MODELS = [
    (BertForMaskedLM, BERT, True),
    (RobertaForMaskedLM, RobertaConfig(**SMALL, pad_token_id=0), True),
    (AlbertForMaskedLM, AlbertConfig(**SMALL, embedding_size=16), True),
    (ElectraForMaskedLM, ElectraConfig(**SMALL, embedding_size=16), False),
    (
        DistilBertForMaskedLM,
        DistilBertConfig(vocab_size=len(VOCAB), dim=32, n_layers=2, n_heads=2, hidden_dim=64),
        False,
    ),
]


@pytest.mark.parametrize(("kind", "config", "separate"), MODELS, ids=lambda value: getattr(value, "__name__", None))
def test_the_head_on_masked_positions_gives_the_models_own_candidates(tokenizer, kind, config, separate):
    torch.manual_seed(0)
    model = spread(kind(config))
    assert (separate_head(model) is not None) == separate
    for row in propose(TEXTS, tokenizer, model):
        assert row["candidates"] == literal(row["text"], (row["start"], row["end"]), tokenizer, model, 5)


def test_a_model_that_changes_its_logits_after_the_head_is_run_whole(tokenizer):
    class Scaled(BertForMaskedLM):
        def forward(self, *args, **kwargs):
            outputs: Any = super().forward(*args, **kwargs)
            outputs.logits = -outputs.logits
            return outputs

    torch.manual_seed(0)
    model = spread(Scaled(BERT))
    for row in propose(TEXTS, tokenizer, model):
        assert row["candidates"] == literal(row["text"], (row["start"], row["end"]), tokenizer, model, 5)


def test_many_masks_go_through_the_head_in_parts(tokenizer, model, monkeypatch):
    whole = propose(TEXTS, tokenizer, model, decode_tokens=4096)
    monkeypatch.setattr("data_augment.mask_predictor.HEAD_POSITIONS", 2)
    parts = propose(TEXTS, tokenizer, model, decode_tokens=4096)
    assert [row["candidates"] for row in parts] == [row["candidates"] for row in whole]
