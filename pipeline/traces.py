"""One forward pass, and everything that distillation needs from it.

Attention runs through an attention function of ours (transformers' attention interface), which takes the queries and
keys that the attention loss compares on the way, and the values where they are asked for. No (T, T) map is kept: the
fused kernel writes none out, and where short texts are faster without it (bf16 on CPUs) the map is made again in the
backward pass.
"""

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from pipeline.batches import Inputs
from pipeline.losses import QueryKey
from pipeline.packing import ATTENTION, Packing, packed, padded_states

SHORT = 128  # tokens up to which writing the map out, in bf16, beats the fused kernel on CPUs (torch 2.13)
VECTOR = 32  # a bf16 softmax of a multiple of so many needs no copy in float32; what is over makes it slow (torch 2.13)


class QueryKeyValue(NamedTuple):
    """Queries, keys and values of one layer (or of one bucket of it), each (B, H, T, head width)."""

    query: Tensor
    key: Tensor
    value: Tensor


def _with_query_key(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packing: Packing | None = None,
    **kwargs: Any,
) -> tuple[Tensor, tuple[QueryKeyValue, ...]]:
    """Attention that hands back, where maps would stand, the queries, keys and values of each bucket."""
    kwargs.pop("output_attentions", None)
    if packing is None:
        return _attend(module, query, key, value, attention_mask, **kwargs), (QueryKeyValue(query, key, value),)
    split = [packing.split(states.transpose(1, 2)) for states in (query, key, value)]
    seen = [QueryKeyValue(*(part.transpose(1, 2) for part in parts)) for parts in zip(*split, strict=True)]
    masks = [real[:, None, None] for real in packing.real]
    outputs = [_attend(module, *bucket, mask, **kwargs) for bucket, mask in zip(seen, masks, strict=True)]
    return packing.join(outputs), tuple(seen)


def _attend(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **kwargs: Any) -> Tensor:
    """Attention, (B, T, H, D), by what is fastest."""
    if query.device.type != "cpu":
        return sdpa_attention_forward(module, query, key, value, _whole(mask, query), **kwargs)[0]
    if query.dtype == torch.bfloat16 and query.shape[-2] <= SHORT and not kwargs.get("dropout"):
        scaling = kwargs.get("scaling") or query.shape[-1] ** -0.5
        return WrittenOutAttention.apply(query * scaling, key, value, mask)
    with torch.autocast("cpu", enabled=False):  # the fused kernel's backward pass is slow in bf16 on CPUs (torch 2.13)
        exact = (query.float(), key.float(), value.float())
        return sdpa_attention_forward(module, *exact, _whole(mask, query), **kwargs)[0].to(query.dtype)


def _whole(mask: Tensor | None, query: Tensor) -> Tensor | None:
    """(B, 1, T, T): what the fused kernels take."""
    return None if mask is None else mask.expand(-1, -1, query.shape[-2], -1)


class WrittenOutAttention(torch.autograd.Function):
    """softmax(Q K') V, (B, T, H, D), by products in bf16; the map is made twice instead of kept.

    query (scaled), key, value: (B, H, T, D). mask: (B, 1, 1 or T, T), True where attention may go.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        ctx.shape = query.shape
        query, key, value = (states.flatten(0, 1) for states in (query, key, value))
        ctx.save_for_backward(query, key, value, mask)
        output = torch.bmm(_map(query, key, mask, ctx.shape).to(value.dtype), value)
        return output.view(ctx.shape).transpose(1, 2).contiguous()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        query, key, value, mask = ctx.saved_tensors
        gradient = gradient.transpose(1, 2).flatten(0, 1)
        map_ = _map(query, key, mask, ctx.shape)
        of_value = torch.bmm(map_.to(value.dtype).mT, gradient)
        of_map = torch.bmm(gradient, value.mT).to(map_.dtype)
        of_scores = torch.ops.aten._softmax_backward_data(of_map, map_, -1, map_.dtype).to(query.dtype)
        of_query, of_key = torch.bmm(of_scores, key), torch.bmm(of_scores.mT, query)
        return of_query.view(ctx.shape), of_key.view(ctx.shape), of_value.view(ctx.shape), None


def _map(query: Tensor, key: Tensor, mask: Tensor | None, shape: torch.Size) -> Tensor:
    """The attention map, (B H, T, T), of scaled queries and keys (B H, T, D); its softmax is summed in float32."""
    scores = torch.bmm(query, key.mT)
    if shape[2] % VECTOR:
        scores = scores.float()
    if mask is not None:
        hidden = torch.finfo(scores.dtype).min
        scores.view(*shape[:3], -1).add_(torch.where(mask, 0.0, hidden).to(scores.dtype))  # `masked_fill_` is slow
    return scores.softmax(dim=-1)


AttentionInterface.register(ATTENTION, _with_query_key)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)  # without it padding is attended to, in silence


class Trace(NamedTuple):
    """What one forward pass left behind; of a packed batch tokens lie in one row, and attention in buckets."""

    hidden_states: dict[int, Tensor]  # by layer, (B, T, D) or (1, N, D); layer 0 is the output of the embeddings
    query_keys: dict[int, tuple[QueryKey, ...]]  # by layer, from 1; one a bucket
    values: dict[int, tuple[Tensor, ...]]  # by layer, from 1; one a bucket, (B, H, T, head width)
    real: Tensor  # (B, T) or (1, N): True on tokens, False on padding
    buckets_real: tuple[Tensor, ...]  # the same of each bucket
    packing: Packing | None
    output: Any = None  # the model's own, padded, where it is asked for
    masked_logits: Tensor | None = None  # (masked positions, vocabulary)


def trace(
    model: PreTrainedModel,
    inputs: Inputs,
    layers: Sequence[int],
    *,
    queries: bool = True,
    values: bool = False,
    whole: bool = False,
) -> Trace:
    """Run an encoder once and keep what the named layers left behind.

    Args:
        model: an encoder, or a model with one, loaded with `attn_implementation=ATTENTION`.
        inputs: as `batches.model_inputs` makes them.
        layers: layers to keep, 0 for the embeddings.
        queries, values: whether the queries and keys, or the values too, are asked for.
        whole: whether the model's own output is.

    Raises: TypeError when they are, and the architecture does not go through the attention interface.
    """
    plain, packing = packed(model, inputs)
    asked: dict[str, Any] = {"output_hidden_states": True} if layers else {}
    if queries or values:
        asked |= {"output_attentions": True}
    with contextlib.ExitStack() as stack:
        if packing is not None:
            asked |= {"packing": packing}
            if model.base_model is not model:
                stack.enter_context(padded_states(model, packing))
        output = model(**plain, **asked)
    seen: dict[int, tuple[QueryKeyValue, ...]] = {}
    if queries or values:
        handed_out = [found for found in output.attentions if isinstance(found[0], QueryKeyValue)]
        if len(handed_out) < max(layers):
            raise TypeError(f"{type(model).__name__} does not hand out its queries and keys")
        seen = {layer: handed_out[layer - 1] for layer in layers if layer}
    hidden_states = {layer: output.hidden_states[layer] for layer in layers}
    real = inputs["attention_mask"].bool()
    if packing is not None:  # the head's padded states, if any, are the last layer's
        real = packing.packed(real)
        hidden_states = {n: state if len(state) == 1 else packing.packed(state) for n, state in hidden_states.items()}
    return Trace(
        hidden_states=hidden_states,
        query_keys={layer: tuple(QueryKey(*bucket[:2]) for bucket in found) for layer, found in seen.items()},
        values={layer: tuple(bucket.value for bucket in found) for layer, found in seen.items()} if values else {},
        real=real,
        buckets_real=(real,) if packing is None else packing.real,
        packing=packing,
        output=output if whole else None,
    )


def freeze(model: PreTrainedModel, *, precision: str) -> PreTrainedModel:
    """A teacher: in eval mode (no dropout in its targets), without gradients, its weights cast once."""
    model.requires_grad_(False).eval()
    nn.Module.to(model, torch.bfloat16 if precision == "bf16" else torch.float32)
    return model
