"""The attention function of every model here: fused where that pays, bucket by bucket where a batch is packed.

It is registered with transformers' attention interface, and hands back, where maps would stand, the queries, keys and
values that distillation compares. No (T, T) map of a long text is kept: the fused kernel writes none out. On CPUs short
texts are faster without it.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from pipeline.losses.tinybert import AttentionStates
from pipeline.models.architectures import PACKABLE

if TYPE_CHECKING:
    from pipeline.models.packing import Packing

ATTENTION = "sdpa_with_query_key"
SHORT = {torch.bfloat16: 128, torch.float32: 64}  # tokens up to which a map beats the fused kernel on CPUs (torch 2.13)
HEAD = 8  # columns: what the fused kernels of GPUs take, where there is a mask (else all is written out)
VECTOR = 32  # tokens: a bf16 softmax over a multiple of so many needs no copy in float32 (torch 2.13)


def can_pack(model: PreTrainedModel) -> bool:
    """Whether a model can be given a batch as one sequence: by its architecture, and by how it attends."""
    return model.config.model_type in PACKABLE and model.config._attn_implementation == ATTENTION


def _with_states(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packing: "Packing | None" = None,
    **kwargs: Any,
) -> tuple[Tensor, tuple[AttentionStates, ...]]:
    """Attention that hands back, where maps would stand, the queries, keys and values of each bucket."""
    kwargs.pop("output_attentions", None)
    query, key = query.to(value.dtype), key.to(value.dtype)  # rotary positions leave them in float32 under autocast
    if packing is None:
        output = _attend(module, query, key, value, attention_mask, **kwargs)
        return output, (AttentionStates(query, _of_each_head(key, query), _of_each_head(value, query)),)
    split = [packing.split(states.transpose(1, 2)) for states in (query, key, value)]
    buckets = tuple(AttentionStates(*(part.transpose(1, 2) for part in parts)) for parts in zip(*split, strict=True))
    masks = [real[:, None, None] for real in packing.real]
    outputs = [_attend(module, *bucket, mask, **kwargs) for bucket, mask in zip(buckets, masks, strict=True)]
    return packing.join(outputs), buckets


def _attend(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **kwargs: Any) -> Tensor:
    """Attention, (B, T, H, D), by what is fastest."""
    if query.device.type != "cpu":
        return _fused(module, query, key, value, mask, **kwargs)
    if query.shape[-2] <= SHORT.get(query.dtype, 0) and not kwargs.get("dropout"):
        scaling = kwargs.get("scaling") or query.shape[-1] ** -0.5
        if mask is None and getattr(module, "is_causal", False):
            mask = _causal_mask(query, key)
        key, value = (_of_each_head(states, query) for states in (key, value))
        return WrittenOutAttention.apply(query * scaling, key, value, mask)
    with torch.autocast("cpu", enabled=False):  # the fused kernel's backward pass is slow in bf16 on CPUs (torch 2.13)
        exact = (query.float(), key.float(), value.float())
        return sdpa_attention_forward(module, *exact, _whole(mask, query), **kwargs)[0].to(query.dtype)


def _of_each_head(states: Tensor, query: Tensor) -> Tensor:
    """Keys or values, (B, K, T, D), as one for each query head, (B, H, T, D): groups of queries share them."""
    groups = query.shape[1] // states.shape[1]
    return states if groups == 1 else states.repeat_interleave(groups, dim=1)


def _causal_mask(query: Tensor, key: Tensor) -> Tensor:
    """(1, 1, T, keys): True where a token may look, at itself and at what is before it."""
    T, keys = query.shape[-2], key.shape[-2]
    return torch.ones((1, 1, T, keys), dtype=torch.bool, device=query.device).tril(keys - T)


def _fused(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **kwargs: Any) -> Tensor:
    """By a fused kernel of a GPU; with a mask it takes heads of a multiple of HEAD columns, so zeros are added."""
    width = query.shape[-1]
    if missing := -width % HEAD:
        kwargs["scaling"] = kwargs.get("scaling") or width**-0.5
        query, key, value = (pad(states, (0, missing)) for states in (query, key, value))
    return sdpa_attention_forward(module, query, key, value, _whole(mask, query), **kwargs)[0][..., :width]


def _whole(mask: Tensor | None, query: Tensor) -> Tensor | None:
    """(B, 1, T, T): what the fused kernels take."""
    return None if mask is None else mask.expand(-1, -1, query.shape[-2], -1)


class WrittenOutAttention(torch.autograd.Function):
    """softmax(Q K') V, (B, T, H, D), by products in the precision of the queries.

    query (scaled), key, value: (B, H, T, D). mask: (B, 1, 1 or T, T), True where attention may go.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        ctx.shape = query.shape
        query, key, value = (states.flatten(0, 1) for states in (query, key, value))
        map_ = _map(query, key, mask, ctx.shape)
        ctx.save_for_backward(query, key, value, map_)
        return torch.bmm(map_.to(value.dtype), value).view(ctx.shape).transpose(1, 2).contiguous()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        query, key, value, map_ = ctx.saved_tensors
        gradient = gradient.transpose(1, 2).flatten(0, 1)
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


def _mask(
    *, attention_mask: Tensor | None = None, allow_is_bidirectional_skip: bool = False, **kwargs: Any
) -> Tensor | None:
    """transformers' mask, (B, 1, T, T). Whether it hides anything, so that none is needed, is not asked of a GPU: the
    answer would be waited for in every forward pass. There `trace` gives no mask where nothing is padded.
    """
    free = attention_mask is None or attention_mask.device.type == "cpu"
    skip = allow_is_bidirectional_skip and free
    return sdpa_mask(attention_mask=attention_mask, allow_is_bidirectional_skip=skip, **kwargs)


AttentionInterface.register(ATTENTION, _with_states)
AttentionMaskInterface.register(ATTENTION, _mask)  # without it padding is attended to, in silence
# cuDNN makes a plan for each new shape, in about 100 ms, and lengths make ever new ones (torch 2.11, an H200).
torch.backends.cuda.enable_cudnn_sdp(False)
