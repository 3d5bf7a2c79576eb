"""From an objective's name to its loss: what each compares of a student and its teacher, layer by layer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pipeline.config.objectives import OF_ATTENTION, chosen
from pipeline.config.training import DistillGeneral, LayerObjectives
from pipeline.losses.related_methods import attention_map_loss, cosine_loss, normalised_hidden_loss, relation_loss
from pipeline.losses.tinybert import attention_loss, hidden_loss, label_loss, prediction_loss
from pipeline.models.collate import Inputs
from pipeline.models.trace import Trace
from pipeline.training.batches import GlobalBatch
from pipeline.training.masked_lm import MaskedBlocks

Terms = dict[str, Tensor]
Loss = Callable[[nn.Module, Inputs, GlobalBatch], Terms]
More = Callable[[Trace, Trace, Inputs, GlobalBatch], Terms]  # of the student's and the teacher's trace


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A layer of the student, its hidden states projected, beside the layer of the teacher that it learns from."""

    ours: Trace
    theirs: Trace
    layer: int
    source: int
    batch: GlobalBatch
    relation_heads: int

    def both(self, what: str) -> tuple[Any, Any]:
        """The student's and the teacher's `hidden_states`, `query_keys` or `values`."""
        return getattr(self.ours, what)[self.layer], getattr(self.theirs, what)[self.source]

    def first_tokens(self) -> tuple[Tensor, Tensor]:
        """The hidden states of the rows' first tokens, (B, 1, D)."""
        packing, (ours, theirs) = self.ours.packing, self.both("hidden_states")
        return (ours[:, :1], theirs[:, :1]) if packing is None else (packing.first(ours), packing.first(theirs))

    def by_bucket(self, what: str, loss: Callable[[Any, Any, Tensor], Tensor]) -> Tensor:
        """The sum of a loss of `query_keys` or `values` over the buckets, each with its real tokens."""
        buckets = zip(*self.both(what), self.ours.buckets_real, strict=True)
        return torch.stack([loss(ours, theirs, real) for ours, theirs, real in buckets]).sum()


def _relations(pair: Pair, what: str, states: Callable[[Any], Tensor]) -> Tensor:
    def loss(ours: Any, theirs: Any, real_BT: Tensor) -> Tensor:
        heads = pair.relation_heads or states(theirs).shape[1]
        return relation_loss(states(ours), states(theirs), real_BT, heads=heads, tokens=pair.batch.tokens)

    return pair.by_bucket(what, loss)


def _hidden(pair: Pair) -> Tensor:
    return hidden_loss(*pair.both("hidden_states"), pair.ours.real, tokens=pair.batch.tokens)


OBJECTIVES: dict[str, Callable[[Pair], Tensor]] = {  # their names are those of the weights in the recipe
    "embedding": _hidden,  # of layer 0, and of that alone
    "hidden": _hidden,
    "attention": lambda p: p.by_bucket("query_keys", partial(attention_loss, pairs=p.batch.pairs)),
    "hidden_cosine": lambda p: cosine_loss(*p.both("hidden_states"), p.ours.real, tokens=p.batch.tokens),
    "normalised_hidden": lambda p: normalised_hidden_loss(*p.first_tokens(), examples=p.batch.examples),
    "attention_maps": lambda p: p.by_bucket("query_keys", partial(attention_map_loss, tokens=p.batch.tokens)),
    "query_relations": lambda p: _relations(p, "query_keys", lambda seen: seen.query),
    "key_relations": lambda p: _relations(p, "query_keys", lambda seen: seen.key),
    "value_relations": lambda p: _relations(p, "values", lambda seen: seen),
}


class Asked(NamedTuple):
    """What the objectives of a stage want to see of a model; see `pipeline.traces.trace`."""

    layers: tuple[int, ...] = ()
    queries: bool = False
    values: bool = False
    whole: bool = False


def asked_by(weights: LayerObjectives, layers: Mapping[int, int]) -> tuple[Asked, Asked]:
    """What the objectives with a weight want to see of the student and of the teacher."""
    names = chosen(weights)
    wanted = {layer: source for layer, source in layers.items() if names and (layer or "embedding" in names)}
    queries = any(name in OF_ATTENTION for name in names)
    values = "value_relations" in names
    return Asked(tuple(wanted), queries, values), Asked(tuple(wanted.values()), queries, values)


def compared(
    ours: Trace,
    theirs: Trace,
    layers: Mapping[int, int],
    weights: LayerObjectives,
    *,
    batch: GlobalBatch,
) -> Terms:
    """The weighted objectives, a layer each: for TinyBERT eq. 11 without the prediction layer."""
    found: Terms = {}
    names = chosen(weights, tuple(OBJECTIVES))
    for layer, source in layers.items():
        pair = Pair(
            ours=ours,
            theirs=theirs,
            layer=layer,
            source=source,
            batch=batch,
            relation_heads=weights.relation_heads,
        )
        for name in names:
            if (name == "embedding") == (layer == 0):
                found[f"{name}_{layer}" if layer else name] = getattr(weights, name) * OBJECTIVES[name](pair)
    return found


def masked_terms(blocks: MaskedBlocks, settings: DistillGeneral) -> More:
    """The terms of a student that learns masked tokens, and the teacher's guesses at them (DistilBERT, section 3).

    Both are means over the masked tokens of the whole global batch.
    """

    def terms(ours: Trace, theirs: Trace, inputs: dict[str, Tensor], batch: GlobalBatch) -> Terms:
        assert ours.masked_logits is not None and theirs.masked_logits is not None
        count, found = blocks.masked_count(batch), {}
        if settings.soft_masked_lm:
            gap = prediction_loss(
                ours.masked_logits, theirs.masked_logits, temperature=settings.temperature, examples=count
            )
            found["soft_masked_lm"] = settings.soft_masked_lm * gap
        if settings.masked_lm:
            gap = label_loss(ours.masked_logits, inputs["label"], examples=count)
            found["masked_lm"] = settings.masked_lm * gap
        return found

    return terms
