"""One forward pass of a model over a batch, and the states in it that distillation compares."""

from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pipeline.models.architectures import DECODERS, encoder_layers, rows_before_text
from pipeline.models.attention import AttentionStates, can_pack
from pipeline.models.collate import Batch
from pipeline.models.packing import Packing


class Wanted(NamedTuple):
    """What to keep of a forward pass."""

    layers: tuple[int, ...] = ()  # whose hidden states; 0 is the output of the embeddings
    attention: bool = False  # whether these layers' queries, keys and values too
    output: bool = False  # whether the model's own output
    predicted_logits: bool = False
    """Whether a language model's logits of the tokens that the batch's target `predicted` (B, T) marks."""


class Trace(NamedTuple):
    """What one forward pass left behind; of a packed batch tokens lie in one row, and attention in buckets."""

    hidden_states: dict[int, Tensor]  # by layer, (B, T, D) or (1, N, D)
    attention: dict[int, tuple[AttentionStates, ...]]  # by layer, from 1; one a bucket
    real: Tensor  # (B, T) or (1, N): True on tokens, False on padding
    packing: Packing | None
    output: Any = None  # with padded logits
    predicted_logits: Tensor | None = None  # (predicted tokens, vocabulary)
    causal: bool = False  # whether a token attends to itself and those before it alone

    @property
    def buckets_real(self) -> tuple[Tensor, ...]:
        """`real` of each bucket, (b, t)."""
        return (self.real,) if self.packing is None else self.packing.real


def forward(model: Any, batch: Batch) -> Any:
    """`model(**batch)`; hidden states and logits come back padded, (B, T, ...), of a packed batch too.

    Args: model: an encoder with any head; perhaps wrapped for several processes.
    Raises: TypeError for a packed batch where the model cannot take one.
    """
    inner = getattr(model, "module", model)
    inputs = _model_inputs(inner, batch)
    if batch.packing is None:
        return model(**inputs)
    with _padded_states(inner, batch.packing):
        return model(**inputs)


def trace(model: PreTrainedModel, batch: Batch, wanted: Wanted, *, lm_head: nn.Module | None = None) -> Trace:
    """Run a model once and keep what is wanted.

    Args:
        model: an encoder, or a model with one, loaded with `attn_implementation=ATTENTION`.
        lm_head: of a masked LM whose encoder `model` is; None: `model` is all of it.

    Raises: TypeError when attention is wanted, and the architecture does not go through the attention interface.
    """
    packing, inputs = batch.packing, _model_inputs(model, batch)
    if wanted.layers:
        inputs["output_hidden_states"] = True
    if wanted.attention:
        inputs["output_attentions"] = True
    has_head = model.base_model is not model
    with _padded_states(model, packing) if packing is not None and has_head else nullcontext():
        output = model(**inputs)
    attention = _attention_states(model, output, wanted) if wanted.attention else {}
    hidden_states = {layer: output.hidden_states[layer] for layer in wanted.layers}
    real = batch.attention_mask.bool()
    if packing is not None:  # the last layer's states may be padded, for the head
        real = packing.pack(real)
        hidden_states = {n: state if len(state) == 1 else packing.pack(state) for n, state in hidden_states.items()}
    return Trace(
        hidden_states=hidden_states,
        attention=attention,
        real=real,
        packing=packing,
        output=output if wanted.output else None,
        predicted_logits=_predicted_logits(output, batch, lm_head) if wanted.predicted_logits else None,
        causal=model.config.model_type in DECODERS,
    )


def _model_inputs(model: PreTrainedModel, batch: Batch) -> dict[str, Any]:
    """What to call a model with: (B, T) tensors, or of a packed batch (1, N) ones, their positions and the packing."""
    inputs: dict[str, Any] = {"input_ids": batch.input_ids}
    if model.config.model_type in DECODERS and batch.packing is None:
        return inputs | {"use_cache": False}  # no token looks at the padding, which is on its right
    if batch.token_type_ids is not None:
        inputs["token_type_ids"] = batch.token_type_ids
    if batch.packing is None:
        return inputs if batch.full else inputs | {"attention_mask": batch.attention_mask}
    if not can_pack(model):
        raise TypeError(
            f"{type(model).__name__} with {model.config._attn_implementation} attention takes no packed batch"
        )
    begin = rows_before_text({name: getattr(model.config, name) for name in ("model_type", "pad_token_id")})
    positions = torch.arange(begin, begin + batch.input_ids.shape[1], device=batch.input_ids.device)
    inputs["position_ids"] = positions.expand_as(batch.input_ids)
    packed = {name: batch.packing.pack(tensor) for name, tensor in inputs.items()}
    return packed | {"packing": batch.packing}


@contextmanager
def _padded_states(model: PreTrainedModel, packing: Packing) -> Generator[None]:
    """Meanwhile the last hidden states leave the encoder padded, as heads want them."""

    def unpack(_module: Any, _arguments: Any, output: Any) -> Any:
        output.last_hidden_state = packing.unpack(output.last_hidden_state)
        return output

    hook = encoder_layers(model).register_forward_hook(unpack)
    try:
        yield
    finally:
        hook.remove()


def _attention_states(model: PreTrainedModel, output: Any, wanted: Wanted) -> dict[int, tuple[AttentionStates, ...]]:
    """By layer, what our attention function handed out in place of maps."""
    found = [states for states in output.attentions if isinstance(states[0], AttentionStates)]
    if len(found) < max(wanted.layers):
        raise TypeError(f"{type(model).__name__} does not hand out its queries and keys")
    return {layer: found[layer - 1] for layer in wanted.layers if layer}


def at_predicted(states: Tensor, batch: Batch) -> Tensor:
    """(n, D): the states, (B, T, D) or packed (1, N, D), of the n tokens that the batch's target `predicted` marks.

    A GPU is not waited for: how many they are is known from its target `predicted_ids`.
    """
    predicted = batch.targets["predicted"]
    if batch.packing is not None and states.shape[:2] != predicted.shape:
        predicted = batch.packing.pack(predicted)
    positions = predicted.flatten().nonzero_static(size=len(batch.targets["predicted_ids"]))[:, 0]
    return states.flatten(0, 1)[positions]


def _predicted_logits(output: Any, batch: Batch, head: nn.Module | None) -> Tensor:
    """(predicted tokens, vocabulary); with a head of its own only their states go through it."""
    return at_predicted(output.logits, batch) if head is None else head(at_predicted(output.last_hidden_state, batch))
