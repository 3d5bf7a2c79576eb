"""The head of a language model on predicted tokens alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
)

from pipeline.models.collate import Batch
from pipeline.training.language_model import LanguageModel

SIZE: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}
Build = Callable[[], PreTrainedModel]


def bert() -> PreTrainedModel:
    return BertForMaskedLM(BertConfig(**SIZE))


def roberta() -> PreTrainedModel:
    return RobertaForMaskedLM(RobertaConfig(**SIZE))


def electra() -> PreTrainedModel:
    return ElectraForMaskedLM(ElectraConfig(**SIZE))


def distilbert() -> PreTrainedModel:
    return DistilBertForMaskedLM(DistilBertConfig(vocab_size=50, dim=16, n_layers=1, n_heads=2, hidden_dim=16))


@pytest.mark.parametrize(("build", "separate"), [(bert, True), (roberta, True), (electra, False), (distilbert, False)])
@torch.no_grad()
def test_logits_of_masked_positions_are_the_whole_model_s(build: Build, separate: bool) -> None:
    torch.manual_seed(0)
    plain = build().eval()
    ids, masked = torch.randint(5, 50, (3, 9)), torch.rand(3, 9) < 0.3
    mask = (torch.arange(9) < torch.tensor([9, 5, 7])[:, None]).long()
    model = LanguageModel(plain)
    assert (model.head is not None) == separate  # elsewhere the whole model runs, and the result is cut
    targets = {"predicted": masked, "predicted_ids": ids[masked]}
    found = model(Batch(input_ids=ids, attention_mask=mask, targets=targets))
    torch.testing.assert_close(found, plain(input_ids=ids, attention_mask=mask).logits[masked])


def test_looking_for_the_head_leaves_the_model_in_training() -> None:
    assert LanguageModel(bert().train()).model.training
