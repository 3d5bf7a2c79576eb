"""One forward pass, and everything that distillation needs from it.

Attention runs through an attention function of ours (transformers' attention interface), which takes the queries and
keys that the attention loss compares on the way, and the values where they are asked for. No (T, T) map is kept: the
fused kernel writes none out, and where short texts are faster without it (bf16 on CPUs) the map is made again in the
backward pass.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from pipeline.losses import QueryKey

ATTENTION = "sdpa_with_query_key"
SHORT = 128  # tokens up to which writing the map out, in bf16, beats the fused kernel on CPUs (torch 2.13)


class QueryKeyValue(NamedTuple):
    """Queries, keys and values of one layer, each (B, H, T, head width)."""

    query: Tensor
    key: Tensor
    value: Tensor


def _with_query_key(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, QueryKey | QueryKeyValue]:
    """Attention that hands back (query, key), each (B, H, T, head width), where maps would stand; with `keep_values`
    (query, key, value)."""
    kwargs.pop("output_attentions", None)
    seen = QueryKeyValue(query, key, value) if kwargs.pop("keep_values", False) else QueryKey(query, key)
    if query.device.type != "cpu":
        output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    elif query.dtype == torch.bfloat16 and query.shape[-2] <= SHORT and not kwargs.get("dropout"):
        arguments = (query, key, value, attention_mask, kwargs.get("scaling"))
        if torch.is_grad_enabled():
            output = checkpoint(written_out_attention, *arguments, use_reentrant=False, preserve_rng_state=False)
        else:
            output = written_out_attention(*arguments)
    else:  # the fused kernel's backward pass is slow in bf16 on CPUs (torch 2.13)
        with torch.autocast("cpu", enabled=False):
            output, _ = sdpa_attention_forward(
                module, query.float(), key.float(), value.float(), attention_mask, **kwargs
            )
        output = output.to(query.dtype)
    return output, seen


def written_out_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None
) -> Tensor:
    """softmax(Q K' / sqrt(D)) V, (B, T, H, D); `mask` is True where attention may go."""
    scores_BHTT = ((query * (scaling or query.shape[-1] ** -0.5)) @ key.transpose(-1, -2)).float()
    if mask is not None:
        scores_BHTT = scores_BHTT.masked_fill_(~mask, torch.finfo(torch.float32).min)
    return (scores_BHTT.softmax(dim=-1).to(value.dtype) @ value).transpose(1, 2).contiguous()


AttentionInterface.register(ATTENTION, _with_query_key)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)  # without it padding is attended to, in silence


class Trace(NamedTuple):
    """What one forward pass left behind."""

    hidden_states: dict[int, Tensor]  # by layer, (B, T, D); layer 0 is the output of the embeddings
    query_keys: dict[int, QueryKey]  # by layer, from 1
    values: dict[int, Tensor]  # by layer, from 1, (B, H, T, head width)
    logits: Tensor | None = None  # of a model with a head


def trace(
    model: nn.Module, inputs: dict[str, Tensor], layers: Sequence[int], *, queries: bool = True, values: bool = False
) -> Trace:
    """Run an encoder once and keep what the named layers left behind.

    Args:
        model: an encoder, or a model with one, loaded with `attn_implementation=ATTENTION`.
        inputs: input_ids, attention_mask and, for some, token_type_ids, each (B, T).
        layers: layers to keep, 0 for the embeddings.
        queries, values: whether the queries and keys, or the values too, are asked for.

    Raises: TypeError when they are, and the architecture does not go through the attention interface.
    """
    asked: dict[str, bool] = {"output_hidden_states": True} if layers else {}
    if queries or values:
        asked |= {"output_attentions": True}
    if values:
        asked |= {"keep_values": True}
    output = model(**inputs, **asked)
    query_keys: dict[int, QueryKey] = {}
    value_of: dict[int, Tensor] = {}
    if queries or values:
        handed_out = [seen for seen in output.attentions if isinstance(seen, QueryKey | QueryKeyValue)]
        if len(handed_out) < max(layers):
            raise TypeError(f"{type(model).__name__} does not hand out its queries and keys")
        for layer in layers:
            if layer:
                query, key, *value = handed_out[layer - 1]
                query_keys[layer] = QueryKey(query, key)
                if value:
                    value_of[layer] = value[0]
    hidden_states = {layer: output.hidden_states[layer] for layer in layers}
    return Trace(hidden_states, query_keys, value_of, getattr(output, "logits", None))


def freeze(model: PreTrainedModel, *, precision: str) -> PreTrainedModel:
    """A teacher: in eval mode (no dropout in its targets), without gradients, its weights cast once."""
    model.requires_grad_(False).eval()
    nn.Module.to(model, torch.bfloat16 if precision == "bf16" else torch.float32)
    return model
