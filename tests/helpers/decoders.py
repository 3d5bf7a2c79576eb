"""Small decoders with random weights, and a folder of one with its tokenizer."""

from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, LlamaConfig, PreTrainedModel

from pipeline.data.new_tokenizer import write_bpe_tokenizer
from pipeline.models.attention import ATTENTION
from pipeline.models.loading import load_tokenizer, random_language_model
from tests import tiny

SIZE: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 4}
MODEL: dict[str, Any] = {"vocab_size": 300, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0}
DECODERS: dict[str, Any] = {
    "gpt2": lambda: GPT2Config(**SIZE, **MODEL, n_inner=24),
    "llama": lambda: LlamaConfig(**SIZE, **MODEL, intermediate_size=24, num_key_value_heads=2),
}

STUDENT: dict[str, Any] = {"layers": 1, "width": 16, "feed_forward": 24, "heads": 4, "hidden_dropout": 0.1}
OBJECTIVES: dict[str, float] = {
    "soft_causal_lm": 1,
    "causal_lm": 0.5,
    "hidden_cosine": 1,
    "attention": 1,
    "value_relations": 1,
}


def decoder(kind: str, attention: str = ATTENTION, **config: Any) -> PreTrainedModel:
    """One with weights large enough that its tokens look at each other."""
    torch.manual_seed(0)
    made = DECODERS[kind]()
    for name, value in config.items():
        setattr(made, name, value)
    model = random_language_model(made)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.data.mul_(8)
    model.set_attn_implementation(attention)
    return model.eval()


def write_decoder(folder: Path, kind: str, text: Path, *, layers: int = 2) -> Path:
    """A decoder with a byte-level BPE made from a text."""
    write_bpe_tokenizer(lambda: [text.read_text(encoding="utf-8")], folder, pieces=300)
    tokenizer = load_tokenizer(folder)
    made = decoder(kind, num_hidden_layers=layers, vocab_size=len(tokenizer))
    made.save_pretrained(folder)
    return folder


def decoder_recipe(world: Path, backbone: Path, **sections: Any) -> Path:
    """A recipe of plain text alone."""
    few = {"epochs": 1, "batch_size": 16, "micro_batch_tokens": 128}
    tree = {name: value for name, value in tiny.recipe(world).items() if name in ("precision", "run")}
    tree["run"]["tracker"] = "none"
    tree |= {"backbone": str(backbone), "student": STUDENT}
    tree["prepare_corpus"] = {"sources": [str(world / "text.txt")], "length": 32, "held_out": 0.2}
    tree["distill_general"] = {**few, **OBJECTIVES, "learning_rate": 3e-3}
    tree["evaluate_student"] = {"bootstrap": 100, "timing_rounds": 3}
    for name, settings in sections.items():
        tree[name] = tree.get(name, {}) | settings if isinstance(settings, dict) else settings
    return tiny.write_recipe(world / "recipe.yaml", tree)
