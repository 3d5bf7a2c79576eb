"""A student that copies its teacher's layers: both models, the loss, and what of the student is trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from pipeline.config.distillation import LayerObjectives
from pipeline.config.objectives import layer_map
from pipeline.distill.objectives import MoreTerms, Terms, layer_terms, wanted_by
from pipeline.models.attention import can_pack
from pipeline.models.collate import Batch
from pipeline.models.loading import freeze, separate_head
from pipeline.models.trace import Trace, Wanted, trace
from pipeline.runtime.stage import Stage
from pipeline.training.batches import GlobalBatch
from pipeline.training.throughput import Flops, encoder_flops, training_flops

PROJECTIONS = "projections.safetensors"
Loss = Callable[[nn.Module, Batch, GlobalBatch], Terms]


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A frozen model to learn from."""

    model: PreTrainedModel  # what is run: the encoder alone where that is enough
    encoder: PreTrainedModel
    lm_head: nn.Module | None = None
    """Where masked tokens are learnt, and only the masked states have to go through the head."""

    @classmethod
    def of(cls, model: PreTrainedModel, stage: Stage, *, with_lm_head: bool = False) -> "Teacher":
        """Freeze a model. Args: with_lm_head: whether its logits of tokens are needed too."""
        frozen = freeze(model, precision=stage.precision).to(stage.accelerator.device)
        encoder = cast(PreTrainedModel, frozen.base_model)
        head = separate_head(frozen) if with_lm_head else None
        return cls(model=frozen if with_lm_head and head is None else encoder, encoder=encoder, lm_head=head)

    def trace(self, batch: Batch, wanted: Wanted) -> Trace:
        """One pass without gradients."""
        with torch.no_grad():
            return trace(self.model, batch, wanted, lm_head=self.lm_head)


class TeacherPasses:
    """A teacher's passes over the batches of a training. One over a batch that comes again is kept until then."""

    def __init__(self, teacher: Teacher, wanted: Wanted) -> None:
        self.teacher, self.wanted = teacher, wanted
        self._kept: dict[tuple[int, bytes] | None, Trace] = {}

    def over(self, batch: Batch) -> Trace:
        """The pass over a batch."""
        found = self._kept.pop(batch.key, None) or self.teacher.trace(batch, self.wanted)
        if batch.comes_again:
            self._kept[batch.key] = found
        return found


class ProjectedStudent(nn.Module):
    """A student with one projection a layer (and one for the embeddings) to the teacher's width.

    One module, so that everything that is trained goes through the wrapper of several processes.

    Args:
        model: the student's encoder, or a model with a head whose output is learnt too.
        lm_head: the student's, where that is trained too.
    """

    def __init__(self, model: PreTrainedModel, *, teacher_width: int, lm_head: nn.Module | None = None) -> None:
        super().__init__()
        config: Any = model.config
        self.model = model
        self.projections = nn.ModuleList(
            nn.Linear(config.hidden_size, teacher_width, bias=False) for _ in range(config.num_hidden_layers + 1)
        )
        self.lm_head = lm_head

    def forward(self, batch: Batch, wanted: Wanted) -> Trace:
        """The student's trace, its hidden states projected."""
        found = trace(self.model, batch, wanted, lm_head=self.lm_head)
        projected = {layer: self.projections[layer](state) for layer, state in found.hidden_states.items()}
        return found._replace(hidden_states=projected)

    def init_projections(self, known: Mapping[int, Tensor]) -> None:
        """Initialise some layers' projections, (teacher width, student width), with what is known to fit them."""
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


def both_pack(teacher: Teacher, student: ProjectedStudent) -> bool:
    """Whether both models can take a packed batch: a batch has one layout for both."""
    return can_pack(teacher.model) and can_pack(student.model)


def mapped_layers(
    stage: Stage, weights: LayerObjectives, *, teacher: Teacher, student: ProjectedStudent
) -> dict[int, int]:
    """The student's layers and those that they learn from; said where it is not obvious."""
    N, M = (each.model.config.num_hidden_layers for each in (teacher, student))
    layers = layer_map(weights.layer_map, teacher_layers=N, student_layers=M)
    if weights.layer_map == "uniform" and N % M:
        pairs = ", ".join(f"{layer} from {source}" for layer, source in layers.items() if layer)
        stage.say(f"{M} layers do not divide the teacher's {N}: each learns from the nearest layer ({pairs})")
    return layers


def layer_loss(
    teacher: Teacher,
    layers: Mapping[int, int],
    weights: LayerObjectives,
    *,
    more: MoreTerms | None = None,
    more_wants: Wanted | None = None,
) -> Loss:
    """The loss of a training that copies layers.

    Args:
        layers: student layer -> teacher layer.
        more: further terms; `more_wants`: what they need of both passes beside the layers.

    Returns: a function of (student, batch, global batch) that gives the weighted terms, a layer each, to be summed.
    """
    of_student, of_teacher = wanted_by(weights, layers)
    if more_wants is not None:
        output, predicted_logits = more_wants.output, more_wants.predicted_logits
        of_student = of_student._replace(output=output, predicted_logits=predicted_logits)
        of_teacher = of_teacher._replace(predicted_logits=predicted_logits)

    passes = TeacherPasses(teacher, of_teacher)

    def loss(student: nn.Module, batch: Batch, global_batch: GlobalBatch) -> Terms:
        theirs = passes.over(batch)
        ours = student(batch, of_student)
        terms = layer_terms(ours, theirs, layers, weights, global_batch=global_batch)
        return terms | (more(ours, theirs, batch, global_batch) if more else {})

    return loss


def layer_flops(teacher: Teacher, student: ProjectedStudent, *, echo: int) -> Flops:
    """FLOPs of the teacher's forward pass and of the student's two, its projections included; not of the losses."""
    theirs, ours = encoder_flops(teacher.encoder), training_flops(student.model)
    projections = sum(weight.numel() for weight in student.projections.parameters())
    return lambda batch: theirs(batch) / echo + ours(batch) + 6.0 * projections * batch.tokens
