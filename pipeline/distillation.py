"""The student beside its teacher, layer by layer: what general distillation and the layer stage share."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from pipeline.batches import GlobalBatch
from pipeline.config import DistillGeneral, DistillLayers
from pipeline.losses import attention_loss, hidden_loss
from pipeline.pace import Flops, encoder_flops, training_flops
from pipeline.traces import Trace, trace

PROJECTIONS = "projections.safetensors"


def uniform_layers(teacher_layers: int, student_layers: int) -> dict[int, int]:
    """Which teacher layer each student layer learns from: g(m) = m * N / M, embeddings from embeddings.

    Raises: ValueError when N is not a multiple of M (the plan says so first).
    """
    step, rest = divmod(teacher_layers, student_layers)
    if rest:
        raise ValueError(f"{teacher_layers} teacher layers are not a multiple of {student_layers}")
    return {layer: layer * step for layer in range(student_layers + 1)}


class Distilled(nn.Module):
    """A student encoder with one projection a layer (and one for the embeddings) to the teacher's width.

    One module, so that everything that is trained goes through the wrapper of several processes.
    """

    def __init__(self, encoder: PreTrainedModel, *, student_width: int, teacher_width: int, layers: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.projections = nn.ModuleList(nn.Linear(student_width, teacher_width, bias=False) for _ in range(layers + 1))

    def forward(self, inputs: dict[str, Tensor]) -> Trace:
        """The student's trace, its hidden states projected."""
        seen = trace(self.encoder, inputs, range(len(self.projections)))
        hidden = {layer: self.projections[layer](state) for layer, state in seen.hidden_states.items()}
        return Trace(hidden, seen.query_keys)

    def begin_embedding_projection(self, weight_DS: Tensor) -> None:
        """Begin the projection of the embeddings, (teacher width, student width), with what is known to fit them."""
        with torch.no_grad():
            self.projections[0].get_parameter("weight").copy_(weight_DS)

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


def layer_terms(
    teacher: nn.Module, layers: Mapping[int, int], weights: DistillGeneral | DistillLayers
) -> Callable[[nn.Module, dict[str, Tensor], GlobalBatch], dict[str, Tensor]]:
    """The loss of a training that copies layers: TinyBERT eq. 11 without the prediction layer.

    Args:
        teacher: a frozen encoder.
        layers: student layer -> teacher layer.

    Returns: a function of (student, inputs, global batch) that gives the weighted terms, a layer each, to be summed.
    """

    def terms(student: nn.Module, inputs: dict[str, Tensor], batch: GlobalBatch) -> dict[str, Tensor]:
        real_BT = inputs["attention_mask"].bool()
        with torch.no_grad():
            theirs = trace(teacher, inputs, tuple(layers.values()))
        ours = student(inputs)
        found: dict[str, Tensor] = {}
        for layer, source in layers.items():
            gap = hidden_loss(ours.hidden_states[layer], theirs.hidden_states[source], real_BT, tokens=batch.tokens)
            if layer == 0:
                found["embedding"] = weights.embedding * gap
                continue
            found[f"hidden_{layer}"] = weights.hidden * gap
            if weights.attention:
                gap = attention_loss(ours.query_keys[layer], theirs.query_keys[source], real_BT, pairs=batch.pairs)
                found[f"attention_{layer}"] = weights.attention * gap
        return found

    return terms
