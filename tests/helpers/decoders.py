"""Small decoders with random weights, and a folder of one with its tokenizer."""

from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, LlamaConfig, PreTrainedModel

from pipeline.data.new_tokenizer import write_bpe_tokenizer
from pipeline.models.attention import ATTENTION
from pipeline.models.loading import load_tokenizer, random_language_model

SIZE: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 4}
MODEL: dict[str, Any] = {"vocab_size": 300, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0}
DECODERS: dict[str, Any] = {
    "gpt2": lambda: GPT2Config(**SIZE, **MODEL, n_inner=24),
    "llama": lambda: LlamaConfig(**SIZE, **MODEL, intermediate_size=24, num_key_value_heads=2),
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
