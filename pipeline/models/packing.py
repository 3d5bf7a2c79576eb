"""A batch of texts as one sequence, without padding.

Texts of similar lengths make a bucket, (rows, tokens), padded to its longest. Whatever treats tokens one by one
(embeddings, linear layers, norms, the losses on hidden states) sees the tokens of all buckets end to end, as one row;
attention alone goes bucket by bucket.

Legend: B rows, T tokens of the longest, N tokens of the sequence, P places in all buckets, b and t rows and tokens of
one bucket.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel

from pipeline.models.architectures import PACKABLE, encoder_layers, rows_before_text
from pipeline.models.attention import ATTENTION
from pipeline.models.collate import Bucket, Inputs


class Packing(NamedTuple):
    """How a batch lies in one sequence."""

    buckets: tuple[Bucket, ...]
    real: tuple[Tensor, ...]  # of each bucket, (b, t): True on tokens, False on padding
    places: Tensor  # (N,): where each token of the sequence lies among the places of all buckets
    tokens: Tensor  # (P,): the token of the sequence that lies at each place, N where none does

    def packed(self, tensor_BT: Tensor) -> Tensor:
        """(B, T, ...) as (1, N, ...)."""
        return self.join(cut(tensor_BT, self.buckets))

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """One tensor a bucket, (b, t, ...), as one sequence (1, N, ...)."""
        return _Rows.apply(torch.cat([part.flatten(0, 1) for part in parts]), self.places, self.tokens)[None]

    def split(self, tensor_1N: Tensor) -> list[Tensor]:
        """(1, N, ...) as one tensor a bucket, (b, t, ...), zero on padding."""
        tensor_P = _Rows.apply(tensor_1N[0], self.tokens, self.places)
        parts = tensor_P.split([rows * tokens for rows, tokens in self.buckets])
        return [part.unflatten(0, bucket) for part, bucket in zip(parts, self.buckets, strict=True)]

    def padded(self, tensor_1ND: Tensor) -> Tensor:
        """(1, N, D) as (B, T, D), zero on padding."""
        longest = self.buckets[0][1]
        return torch.cat([pad(part, (0, 0, 0, longest - part.shape[1])) for part in self.split(tensor_1ND)])

    def first(self, tensor_1ND: Tensor) -> Tensor:
        """(1, N, D) as (B, 1, D): the first token of each row."""
        return torch.cat([part[:, :1] for part in self.split(tensor_1ND)])


class _Rows(torch.autograd.Function):
    """`_rows(tensor, index)`; the gradient is read by `back`, which numbers them the other way round."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, index: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return _rows(tensor, index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _rows(gradient, *ctx.saved_tensors), None, None


def _rows(tensor: Tensor, index: Tensor) -> Tensor:
    """Rows by number, the one after the last being zero; on CPUs several times as fast as writing them by number."""
    return torch.cat([tensor, torch.zeros_like(tensor[:1])]).index_select(0, index)


def cut(tensor_BT: Tensor, buckets: Sequence[Bucket]) -> list[Tensor]:
    """(B, T, ...) as one tensor a bucket, (b, t, ...)."""
    parts = tensor_BT.split([rows for rows, _ in buckets])
    return [part[:, :tokens] for part, (_, tokens) in zip(parts, buckets, strict=True)]


def attends_by_bucket(model: PreTrainedModel) -> bool:
    """Whether a model can be given a batch as one sequence."""
    return model.config.model_type in PACKABLE and model.config._attn_implementation == ATTENTION


def same_layout(inputs: Inputs, *models: PreTrainedModel) -> Inputs:
    """The inputs as all of the models take them: without buckets where one cannot be packed."""
    if all(attends_by_bucket(model) for model in models):
        return inputs
    return {name: value for name, value in inputs.items() if name != "buckets"}


def packed(model: PreTrainedModel, inputs: Inputs) -> tuple[dict[str, Tensor], Packing | None]:
    """What to call a model with: packed where the batch has buckets and architecture and attention allow it.

    Args: inputs: input_ids, attention_mask and, for some, token_type_ids, each (B, T), and perhaps `buckets` and
        `places`.
    """
    plain = {name: inputs[name] for name in ("input_ids", "token_type_ids", "attention_mask") if name in inputs}
    buckets = inputs.get("buckets")
    if buckets is None or not attends_by_bucket(model):
        return plain, None
    ids_BT = plain["input_ids"]
    packing = _packing(buckets, inputs["places"], plain.pop("attention_mask").bool())
    begin = rows_before_text({name: getattr(model.config, name) for name in ("model_type", "pad_token_id")})
    plain["position_ids"] = torch.arange(begin, begin + ids_BT.shape[1], device=ids_BT.device).expand_as(ids_BT)
    return {name: packing.packed(tensor) for name, tensor in plain.items()}, packing


def _packing(buckets: tuple[Bucket, ...], places: Tensor, real_BT: Tensor) -> Packing:
    tokens = places.new_full((sum(rows * tokens for rows, tokens in buckets),), len(places))
    tokens[places] = torch.arange(len(places), device=places.device)
    return Packing(buckets, tuple(cut(real_BT, buckets)), places, tokens)


def run(model: Any, inputs: Inputs) -> Any:
    """`model(**inputs)`, packed where that pays; hidden states and logits come back padded, (B, T, ...).

    Args:
        model: an encoder with any head; packed only with `attn_implementation=ATTENTION`; perhaps wrapped for several
            processes.
        inputs: as `batches.model_inputs` makes them; other entries (labels) are left out.
    """
    inner = getattr(model, "module", model)
    plain, packing = packed(inner, inputs)
    if packing is None:
        return model(**plain)
    with padded_states(inner, packing):
        return model(**plain, packing=packing)


@contextmanager
def padded_states(model: PreTrainedModel, packing: Packing) -> Generator[None]:
    """Meanwhile the last hidden states leave the encoder padded, as heads want them."""

    def unpack(_module: Any, _arguments: Any, output: Any) -> Any:
        output.last_hidden_state = packing.padded(output.last_hidden_state)
        return output

    hook = encoder_layers(model).register_forward_hook(unpack)
    try:
        yield
    finally:
        hook.remove()
