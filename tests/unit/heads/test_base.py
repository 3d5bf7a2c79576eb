"""The layer that gives a classifier's outputs, in every architecture that a teacher or a student can have."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoModelForTokenClassification

from pipeline.evaluate.label_order import reorder_outputs
from pipeline.heads.base import Scale, output_layer

SIZE: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "pad_token_id": 1,
}
NARROW = {"embedding_size": 8}
KINDS: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {},
    "xlm-roberta": {},
    "xlm-roberta-xl": {},
    "camembert": {},
    "roberta-prelayernorm": {},
    "electra": NARROW,
    "distilbert": {},
    "albert": NARROW,
    "mobilebert": {**NARROW, "intra_bottleneck_size": 8},
    "mpnet": {},
    "deberta": {},
    "deberta-v2": {},
    "modernbert": {},
    "ernie": {},
    "convbert": NARROW,
    "rembert": {},
    "megatron-bert": {},
    "jina_embeddings_v3": {},
    "gpt2": {},
    "llama": {},
    "qwen3": {"head_dim": 8, "num_key_value_heads": 1},
}
BUILD = {"texts": AutoModelForSequenceClassification, "tokens": AutoModelForTokenClassification}


def built(kind: str, architecture: Any, labels: int) -> Any:
    torch.manual_seed(0)
    return architecture.from_config(AutoConfig.for_model(kind, **SIZE | KINDS[kind], num_labels=labels)).eval()


@pytest.mark.parametrize("architecture", BUILD.values(), ids=BUILD)
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_the_output_layer_lies_outside_the_encoder_and_gives_every_output(kind: str, architecture: Any) -> None:
    model = built(kind, architecture, labels=5)
    layer, ids = output_layer(model), torch.tensor([[5, 7, 9, 11]])
    assert layer not in set(model.base_model.modules())
    assert layer.out_features == 5
    before = model(input_ids=ids).logits
    reorder_outputs(model, [2, 0, 1, 4, 3])
    torch.testing.assert_close(model(input_ids=ids).logits, before[..., [2, 0, 1, 4, 3]])


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "camembert"])
@torch.no_grad()
def test_a_scale_that_is_put_into_a_model_is_that_of_its_outputs(kind: str) -> None:
    model, ids = built(kind, BUILD["texts"], labels=1), torch.tensor([[5, 7, 9, 11]])
    before = model(input_ids=ids).logits
    Scale(2005.0, 12.0).fold_into(model)
    torch.testing.assert_close(model(input_ids=ids).logits, before * 12 + 2005)
    Scale(2005.0, 12.0).unfold_from(model)
    torch.testing.assert_close(model(input_ids=ids).logits, before, atol=1e-4, rtol=0)
