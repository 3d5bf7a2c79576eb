"""From an objective's name to its loss: what each compares of a student and its teacher, layer by layer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.config.distillation import DistillGeneral, LayerObjectives
from pipeline.config.objectives import OF_ATTENTION, chosen
from pipeline.losses.related_methods import attention_map_loss, cosine_loss, normalised_hidden_loss, relation_loss
from pipeline.losses.tinybert import AttentionStates, attention_loss, hidden_loss, label_loss, prediction_loss
from pipeline.models.collate import Batch
from pipeline.models.trace import Trace, Wanted
from pipeline.training.batches import GlobalBatch
from pipeline.training.language_model import Blocks

Terms = dict[str, Tensor]
MoreTerms = Callable[[Trace, Trace, Batch, GlobalBatch], Terms]  # terms from the student's and the teacher's trace


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A layer of the student, its hidden states projected, and the layer of the teacher that it learns from."""

    student: Trace
    teacher: Trace
    layer: int
    source: int
    global_batch: GlobalBatch
    relation_heads: int

    @property
    def hidden_states(self) -> tuple[Tensor, Tensor]:
        """The student's and the teacher's, (B, T, D) or (1, N, D)."""
        return self.student.hidden_states[self.layer], self.teacher.hidden_states[self.source]

    def first_tokens(self) -> tuple[Tensor, Tensor]:
        """The hidden states of the rows' first tokens, (B, 1, D)."""
        packing, (ours, theirs) = self.student.packing, self.hidden_states
        if packing is None:
            return ours[:, :1], theirs[:, :1]
        return packing.first_tokens(ours), packing.first_tokens(theirs)

    @property
    def pairs(self) -> int:
        """Pairs of tokens that attend to each other in the global batch."""
        pairs, tokens = self.global_batch.pairs, self.global_batch.tokens
        return (pairs + tokens) // 2 if self.student.causal else pairs

    def over_buckets(self, loss: Callable[[AttentionStates, AttentionStates, Tensor], Tensor]) -> Tensor:
        """The sum of a loss of the attention states over the buckets, each with its real tokens."""
        ours, theirs = self.student.attention[self.layer], self.teacher.attention[self.source]
        buckets = zip(ours, theirs, self.student.buckets_real, strict=True)
        return torch.stack([loss(*bucket) for bucket in buckets]).sum()


def _hidden(pair: Pair) -> Tensor:
    return hidden_loss(*pair.hidden_states, pair.student.real, tokens=pair.global_batch.tokens)


def _hidden_cosine(pair: Pair) -> Tensor:
    return cosine_loss(*pair.hidden_states, pair.student.real, tokens=pair.global_batch.tokens)


def _normalised_hidden(pair: Pair) -> Tensor:
    return normalised_hidden_loss(*pair.first_tokens(), examples=pair.global_batch.examples)


def _attention(pair: Pair) -> Tensor:
    pairs, causal = pair.pairs, pair.student.causal
    return pair.over_buckets(lambda ours, theirs, real: attention_loss(ours, theirs, real, pairs=pairs, causal=causal))


def _attention_maps(pair: Pair) -> Tensor:
    tokens, causal = pair.global_batch.tokens, pair.student.causal
    return pair.over_buckets(
        lambda ours, theirs, real: attention_map_loss(ours, theirs, real, tokens=tokens, causal=causal)
    )


def _relations(states: Callable[[AttentionStates], Tensor]) -> Callable[[Pair], Tensor]:
    """The relations between queries, keys or values."""

    def objective(pair: Pair) -> Tensor:
        def loss(ours: AttentionStates, theirs: AttentionStates, real: Tensor) -> Tensor:
            heads = pair.relation_heads or theirs.query.shape[1]
            tokens, causal = pair.global_batch.tokens, pair.student.causal
            return relation_loss(states(ours), states(theirs), real, heads=heads, tokens=tokens, causal=causal)

        return pair.over_buckets(loss)

    return objective


OBJECTIVES: dict[str, Callable[[Pair], Tensor]] = {  # their names are those of the weights in the recipe
    "embedding": _hidden,  # of layer 0, and of that alone
    "hidden": _hidden,
    "attention": _attention,
    "hidden_cosine": _hidden_cosine,
    "normalised_hidden": _normalised_hidden,
    "attention_maps": _attention_maps,
    "query_relations": _relations(lambda states: states.query),
    "key_relations": _relations(lambda states: states.key),
    "value_relations": _relations(lambda states: states.value),
}


def wanted_by(weights: LayerObjectives, layers: Mapping[int, int]) -> tuple[Wanted, Wanted]:
    """What the objectives with a weight need of the student's and of the teacher's pass.

    Args: layers: student layer -> teacher layer.
    """
    names = chosen(weights)
    needed = {layer: source for layer, source in layers.items() if names and (layer or "embedding" in names)}
    attention = any(name in OF_ATTENTION for name in names)
    return Wanted(tuple(needed), attention), Wanted(tuple(needed.values()), attention)


def layer_terms(
    student: Trace,
    teacher: Trace,
    layers: Mapping[int, int],
    weights: LayerObjectives,
    *,
    global_batch: GlobalBatch,
) -> Terms:
    """The weighted objectives, a layer each: for TinyBERT eq. 11 without the prediction layer."""
    found: Terms = {}
    names = chosen(weights, tuple(OBJECTIVES))
    for layer, source in layers.items():
        pair = Pair(
            student=student,
            teacher=teacher,
            layer=layer,
            source=source,
            global_batch=global_batch,
            relation_heads=weights.relation_heads,
        )
        for name in names:
            if (name == "embedding") == (layer == 0):
                found[f"{name}_{layer}" if layer else name] = getattr(weights, name) * OBJECTIVES[name](pair)
    return found


def language_model_terms(blocks: Blocks, settings: DistillGeneral) -> MoreTerms:
    """The terms of a student that learns masked or next tokens, and the teacher's guesses at them.

    Both are means over the predicted tokens of the whole global batch (DistilBERT, arXiv:1910.01108, section 2).
    """
    hard, soft = blocks.objectives
    of_labels, of_teacher = getattr(settings, hard), getattr(settings, soft)

    def terms(student: Trace, teacher: Trace, batch: Batch, global_batch: GlobalBatch) -> Terms:
        ours, theirs = student.predicted_logits, teacher.predicted_logits
        assert ours is not None and theirs is not None
        count, found = blocks.predicted_count(global_batch), {}
        if of_teacher:
            gap = prediction_loss(ours, theirs, temperature=settings.temperature, examples=count)
            found[soft] = of_teacher * gap
        if of_labels:
            gap = label_loss(ours, batch.targets["predicted_ids"], examples=count)
            found[hard] = of_labels * gap
        return found

    return terms
