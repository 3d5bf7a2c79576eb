"""The student beside its teacher, layer by layer: what every stage that copies layers shares."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from pipeline.config.objectives import layer_map
from pipeline.config.training import LayerObjectives
from pipeline.distill.augmented_dataset import AugmentedTexts
from pipeline.distill.objectives import Asked, Loss, More, Terms, asked_by, compared
from pipeline.models.collate import Inputs, on_device
from pipeline.models.loading import freeze, new_student, save_model
from pipeline.models.packing import same_layout
from pipeline.models.student_init import begin_with_layers, copy_head
from pipeline.models.trace import Trace, trace
from pipeline.runtime.stage import Stage
from pipeline.training.batches import GlobalBatch
from pipeline.training.loop import Job
from pipeline.training.throughput import Flops, encoder_flops, training_flops

PROJECTIONS = "projections.safetensors"


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


def beside_teacher(
    stage: Stage, student: PreTrainedModel, data: AugmentedTexts, settings: LayerObjectives, more: More | None = None
) -> tuple[Distilled, Loss, PreTrainedModel]:
    """The task's student with its projections, the loss of copying the task's teacher's layers, and that teacher.

    Args:
        student: whose trace the objectives compare, as a whole or its encoder alone.
        more: further terms, from both models' own outputs.
    """
    folder = stage.upstream["finetune_teacher"]
    teacher = data.texts.kind.load(folder, label_names=data.label_names, new_head=False)
    frozen = freeze(teacher, precision=stage.precision).to(stage.accelerator.device)
    model = Distilled(
        student,
        student_width=student.config.hidden_size,
        teacher_width=teacher.config.hidden_size,
        layers=student.config.num_hidden_layers,
    )
    layers = mapped_layers(stage, settings, teacher=teacher.config, student=student.config)
    encoder = cast(PreTrainedModel, frozen.base_model)
    return model, layer_terms(encoder, layers, settings, more=more), encoder


def copied_student(stage: Stage, data: AugmentedTexts) -> Path:
    """A student of some layers of the task's teacher, with its head; in a folder such as distill_general publishes."""
    source, folder = stage.upstream["finetune_teacher"], stage.work / f"copied-{stage.accelerator.process_index}"
    kind, settings = data.texts.kind, stage.recipe.student
    assert settings.copy_layers is not None, "check_start looks"
    teacher = kind.load(source, label_names=data.label_names, new_head=False)
    trunk = cast(PreTrainedModel, teacher.base_model)
    encoder = new_student(settings, trunk)
    known = begin_with_layers(encoder, trunk, settings.copy_layers)
    save_model(encoder, folder / "student", tokenizer_of=source)
    student = kind.load(folder / "student", label_names=data.label_names, new_head=True)
    copy_head(student, teacher)
    kind.save(student, folder / "student", tokenizer_of=source)
    model = Distilled(
        encoder, student_width=settings.width, teacher_width=trunk.config.hidden_size, layers=settings.layers
    )
    model.begin_projections(known)
    model.save_projections(folder)
    return folder
