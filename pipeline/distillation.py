"""The student beside its teacher, layer by layer: what every stage that copies layers shares."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from pipeline.batches import GlobalBatch, Inputs, on_device
from pipeline.config.training import LayerObjectives
from pipeline.losses import attention_loss, hidden_loss
from pipeline.objectives import OF_ATTENTION, chosen, layer_map
from pipeline.pace import Flops, encoder_flops, training_flops
from pipeline.packing import same_layout
from pipeline.relatives import attention_map_loss, cosine_loss, normalised_hidden_loss, relation_loss
from pipeline.stage import Stage
from pipeline.traces import Trace, trace
from pipeline.training import Job

PROJECTIONS = "projections.safetensors"
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


def look(model: PreTrainedModel, inputs: Inputs, asked: Asked, *, head: nn.Module | None = None) -> Trace:
    """Trace a model; where tokens are masked and its own output is asked for, with the logits at these.

    Args: head: of a masked LM whose encoder `model` is; None: `model` is all of it.
    """
    seen = trace(model, inputs, asked.layers, queries=asked.queries, values=asked.values, whole=asked.whole)
    if not asked.whole or "masked" not in inputs:
        return seen
    masked_BT = inputs["masked"]
    if head is None:
        logits = seen.output.logits[masked_BT]
    else:  # an encoder's last states are packed
        masked = masked_BT if seen.packing is None else seen.packing.packed(masked_BT)
        logits = head(seen.output.last_hidden_state[masked])
    return seen._replace(output=None, masked_logits=logits)


class Distilled(nn.Module):
    """A student with one projection a layer (and one for the embeddings) to the teacher's width.

    One module, so that everything that is trained goes through the wrapper of several processes.

    Args: head: the student's masked-LM head, where that is trained too.
    """

    def __init__(
        self,
        encoder: PreTrainedModel,
        *,
        student_width: int,
        teacher_width: int,
        layers: int,
        head: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projections = nn.ModuleList(nn.Linear(student_width, teacher_width, bias=False) for _ in range(layers + 1))
        self.head = head

    def forward(self, inputs: Inputs, asked: Asked) -> Trace:
        """The student's trace, its hidden states projected."""
        seen = look(self.encoder, inputs, asked, head=self.head)
        hidden = {layer: self.projections[layer](state) for layer, state in seen.hidden_states.items()}
        return seen._replace(hidden_states=hidden)

    def begin_projections(self, known: Mapping[int, Tensor]) -> None:
        """Begin some layers' projections, (teacher width, student width), with what is known to fit them."""
        with torch.no_grad():
            for layer, weight_DS in known.items():
                self.projections[layer].get_parameter("weight").copy_(weight_DS)

    def save_projections(self, folder: Path) -> None:
        """Beside the student, for the next stage; they are no part of the student that ships."""
        tensors = {name: weight.cpu() for name, weight in self.projections.state_dict().items()}
        save_file(tensors, folder / PROJECTIONS)

    def load_projections(self, folder: Path) -> None:
        """Go on with the projections of the stage before."""
        self.projections.load_state_dict(load_file(folder / PROJECTIONS))


def layer_flops(teacher: PreTrainedModel, student: Distilled) -> Flops:
    """FLOPs of the teacher's forward pass and of the student's two, its projections included; not of the losses."""
    theirs, ours = encoder_flops(teacher), training_flops(student.encoder)
    projections = sum(weight.numel() for weight in student.projections.parameters())
    return lambda batch: theirs(batch) + ours(batch) + 6.0 * projections * batch.tokens


def mapped_layers(stage: Stage, weights: LayerObjectives, *, teacher: Any, student: Any) -> dict[int, int]:
    """The student's layers and those that they learn from, by two models' configs; said where it is not obvious."""
    N, M = teacher.num_hidden_layers, student.num_hidden_layers
    layers = layer_map(weights.layer_map, teacher_layers=N, student_layers=M)
    if weights.layer_map == "uniform" and N % M:
        pairs = ", ".join(f"{layer} from {source}" for layer, source in layers.items() if layer)
        stage.say(f"{M} layers do not divide the teacher's {N}: each learns from the nearest layer ({pairs})")
    return layers


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


def layer_terms(
    teacher: PreTrainedModel,
    layers: Mapping[int, int],
    weights: LayerObjectives,
    *,
    head: nn.Module | None = None,
    more: More | None = None,
) -> Loss:
    """The loss of a training that copies layers.

    Args:
        teacher: a frozen encoder; or a masked LM, its head apart where it has one of its own.
        layers: student layer -> teacher layer.
        more: further terms, from both models' own outputs.

    Returns: a function of (student, inputs, global batch) that gives the weighted terms, a layer each, to be summed.
    """
    of_student, of_teacher = (asked._replace(whole=more is not None) for asked in asked_by(weights, layers))

    def terms(student: nn.Module, inputs: Inputs, batch: GlobalBatch) -> Terms:
        inputs = same_layout(inputs, teacher, cast(Distilled, getattr(student, "module", student)).encoder)
        with torch.no_grad():
            theirs = look(teacher, inputs, of_teacher, head=head)
        ours = student(inputs, of_student)
        found = compared(ours, theirs, layers, weights, batch=batch)
        return found | (more(ours, theirs, inputs, batch) if more else {})

    return terms


def freeze_unreached(job: Job, stage: Stage) -> None:
    """Leave what no objective reaches out of the training, such as the end of a last layer of which only the attention
    is compared: processes would wait for its gradient. One micro-batch shows it."""
    batch = job.batches.at(0)
    inputs = on_device(job.collate(batch.micro_batches[-1], batch.epoch), stage.accelerator.device)
    model = job.model.to(stage.accelerator.device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with stage.autocast():
        terms = job.loss(model, inputs, batch)
    gradients = torch.autograd.grad(torch.stack(list(terms.values())).sum(), trained, allow_unused=True)
    for parameter, gradient in zip(trained, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)
