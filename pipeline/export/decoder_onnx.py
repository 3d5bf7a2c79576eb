"""A decoder as ONNX files with past keys and values, so that a new token costs one token, and how to run such a file.

Inputs: input_ids (batch, length), attention_mask (batch, past + length), and of each layer past_key_values.N.key and
past_key_values.N.value (batch, heads, past, head width), whose `past` may be 0. Outputs: logits (batch, length,
pieces), and of each layer present.N.key and present.N.value, to be given as the past of the next token. These are the
names that Optimum and Transformers.js look for. Positions follow from the mask, so texts may be padded on the left.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedConfig, PreTrainedModel
from transformers.utils.generic import ModelOutput

from pipeline.export.onnx import export_graph
from pipeline.export.onnx_session import open_session

Past = list[tuple[Tensor, Tensor]]


class DecoderWithPast(nn.Module):
    """A decoder whose past is plain tensors."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, past: Past) -> tuple[Tensor, ...]:
        """The logits, then the key and the value of each layer."""
        length = input_ids.shape[1]
        positions = attention_mask.cumsum(dim=1) - 1
        position = torch.arange(attention_mask.shape[1], device=input_ids.device)
        query_position = position[attention_mask.shape[1] - length :]
        seen = (position[None, :] <= query_position[:, None])[None, None] & attention_mask.bool()[:, None, None]
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=torch.where(seen, 0.0, torch.finfo(torch.float32).min),
            position_ids=positions[:, attention_mask.shape[1] - length :].clamp(min=0),
            past_key_values=DynamicCache(past),
            use_cache=True,
        )
        presents = [tensor for layer in outputs.past_key_values.layers for tensor in (layer.keys, layer.values)]
        return (outputs.logits, *presents)


def export_decoder(model: PreTrainedModel, path: Path) -> None:
    """Write a decoder (in eval mode, on the CPU, with eager attention) as a float32 ONNX file."""
    config: Any = model.config
    heads, width = past_sizes(config)
    # Sizes that differ, and none of 1: else one would be taken for another, or for fixed.
    past = [(torch.zeros(2, heads, 3, width), torch.zeros(2, heads, 3, width)) for _ in range(config.num_hidden_layers)]
    example = {
        "input_ids": torch.ones((2, 5), dtype=torch.long),
        "attention_mask": torch.ones((2, 8), dtype=torch.long),
    }
    batch, length, before, all_ = (torch.export.Dim(name) for name in ("batch", "length", "past", "past_and_length"))
    of_past = {0: batch, 2: before}
    export_graph(
        DecoderWithPast(model),
        path,
        example | {"past": past},
        dynamic={
            "input_ids": {0: batch, 1: length},
            "attention_mask": {0: batch, 1: all_},
            "past": [(of_past, of_past) for _ in past],
        },
        inputs=[*example, *past_names(config, "past_key_values")],
        outputs=["logits", *past_names(config, "present")],
    )


def past_names(config: PreTrainedConfig, prefix: str) -> list[str]:
    """Of the keys and values of each layer."""
    return [f"{prefix}.{layer}.{part}" for layer in range(config.num_hidden_layers) for part in ("key", "value")]


def past_sizes(config: Any) -> tuple[int, int]:
    """Heads of the keys and values of a layer, and the width of each."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    return heads, getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


class OnnxDecoder(nn.Module):
    """An ONNX file of a decoder where a PyTorch model is expected: its logits of texts from their beginning on."""

    device = torch.device("cpu")

    def __init__(self, path: Path, config: PreTrainedConfig) -> None:
        super().__init__()
        self.config = config
        self.session = open_session(path, threads=torch.get_num_threads())

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any) -> ModelOutput:
        """Padding is on the right, where nothing looks, or `attention_mask` says where it is."""
        ids = np.asarray(input_ids.cpu())
        mask = np.ones_like(ids) if attention_mask is None else np.asarray(attention_mask.cpu())
        heads, width = past_sizes(self.config)
        no_past = np.zeros((len(ids), heads, 0, width), dtype=np.float32)
        past = dict.fromkeys(past_names(self.config, "past_key_values"), no_past)
        logits = self.session.run(["logits"], {"input_ids": ids, "attention_mask": mask, **past})[0]
        return ModelOutput(logits=torch.from_numpy(np.asarray(logits)))
