"""One forward pass, and everything that distillation needs from it: hidden states, queries, keys and values."""

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor
from transformers import PreTrainedModel

from pipeline.losses.tinybert import QueryKey
from pipeline.models.attention import QueryKeyValue
from pipeline.models.collate import Inputs
from pipeline.models.packing import Packing, packed, padded_states


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
