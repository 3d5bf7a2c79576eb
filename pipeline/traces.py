"""One forward pass, and everything that distillation needs from it.

Attention runs through the fused kernel; the queries and keys that the attention loss compares are taken on the way by
an attention function of ours (transformers' attention interface), so that no (T, T) map is ever written out.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from pipeline.losses import QueryKey

ATTENTION = "sdpa_with_query_key"


def _sdpa_with_query_key(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, QueryKey]:
    """Fused attention that hands back (query, key), each (B, H, T, head width), where maps would stand."""
    kwargs.pop("output_attentions", None)
    if query.device.type == "cpu":
        # On CPUs the fused kernel is slower in bf16 than in float32, its backward pass by far (torch 2.13).
        with torch.autocast("cpu", enabled=False):
            output, _ = sdpa_attention_forward(
                module, query.float(), key.float(), value.float(), attention_mask, **kwargs
            )
        return output.to(query.dtype), QueryKey(query, key)
    output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    return output, QueryKey(query, key)


AttentionInterface.register(ATTENTION, _sdpa_with_query_key)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)  # without it padding is attended to, in silence


class Trace(NamedTuple):
    """What one forward pass left behind."""

    hidden_states: dict[int, Tensor]  # by layer, (B, T, D); layer 0 is the output of the embeddings
    query_keys: dict[int, QueryKey]  # by layer, from 1


def trace(model: nn.Module, inputs: dict[str, Tensor], layers: Sequence[int]) -> Trace:
    """Run an encoder once and keep what the named layers left behind.

    Args:
        model: an encoder loaded with `attn_implementation=ATTENTION`.
        inputs: input_ids, attention_mask and, for some, token_type_ids, each (B, T).
        layers: layers to keep, 0 for the embeddings.

    Raises: TypeError when the architecture does not go through the attention interface.
    """
    output = model(**inputs, output_hidden_states=True, output_attentions=True)
    handed_out = [pair for pair in output.attentions if isinstance(pair, QueryKey)]
    if len(handed_out) < max(layers):
        raise TypeError(f"{type(model).__name__} does not hand out its queries and keys")
    query_keys = {layer: handed_out[layer - 1] for layer in layers if layer}
    return Trace({layer: output.hidden_states[layer] for layer in layers}, query_keys)


def freeze(model: PreTrainedModel, *, precision: str) -> PreTrainedModel:
    """A teacher: in eval mode (no dropout in its targets), without gradients, its weights cast once."""
    model.requires_grad_(False).eval()
    nn.Module.to(model, torch.bfloat16 if precision == "bf16" else torch.float32)
    return model
