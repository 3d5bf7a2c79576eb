"""How a student's weights are initialised: from a student, the teacher's layers, its embeddings, or at random."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedModel

from pipeline.config.fields import LayerMap
from pipeline.config.objectives import layer_map
from pipeline.config.student import Student
from pipeline.models.architectures import LIKE_BERT, rows_before_text
from pipeline.models.json_files import loading_from
from pipeline.models.loading import load_complete, load_language_model, set_dropout
from pipeline.models.new_student import ARCHITECTURES
from pipeline.models.saved_model import read_config

BY_HEAD = ("attention.self.query", "attention.self.key", "attention.self.value")
DECODER_LAYER = re.compile(r"(.*\.(?:h|layers)\.)(\d+)(\..*)")  # of GPT-2, of Llama
TABLES = ("word_embeddings", "position_embeddings", "token_type_embeddings")


def init_student(
    encoder: PreTrainedModel, settings: Student, *, teacher: PreTrainedModel, existing: Path | None
) -> dict[int, Tensor]:
    """Initialise the student's encoder as the recipe says, except fitted (`fitted_start`); the rest stays random.

    Args: existing: the folder of a student whose weights are taken.
    Returns: the projections that fit it, (teacher width, student width), by layer, 0 being the embeddings; those that
        are not known are left out.
    """
    if existing is not None:
        encoder.load_state_dict(load_student(existing, encoder.config).state_dict())
    elif settings.start == "layers":
        return init_from_layers(encoder, teacher, settings.start_layers)
    elif settings.start == "embeddings":
        return {0: copy_embeddings(encoder, teacher)}
    return {}


def init_decoder(
    student: PreTrainedModel, settings: Student, *, teacher: PreTrainedModel, existing: Path | None
) -> dict[int, Tensor]:
    """Initialise a decoder and its head: from a student, from the teacher's layers, or not at all.

    With the layers it takes the teacher's embeddings, last norm and head. All its sizes but the layers are the
    teacher's (`student_checks`).
    """
    if existing is not None:
        student.load_state_dict(load_language_model(existing).state_dict())
    if settings.start != "layers":
        return {}
    teacher_layers, student_layers = (model.config.num_hidden_layers for model in (teacher, student))
    layers = layer_map(settings.start_layers, teacher_layers=teacher_layers, student_layers=student_layers)
    theirs = dict(teacher.named_parameters())
    if not any(DECODER_LAYER.fullmatch(name) for name in theirs):
        raise AssertionError(f"the layers of a {teacher.config.model_type} are named otherwise than DECODER_LAYER says")
    for name, own in student.named_parameters():
        source, found = name, DECODER_LAYER.fullmatch(name)
        if found:
            source = f"{found[1]}{layers.get(int(found[2]) + 1, 0) - 1}{found[3]}"
        if source in theirs:
            own.data.copy_(theirs[source].data)
    return {layer: torch.eye(teacher.config.hidden_size) for layer in layers}


def init_from_layers(student: PreTrainedModel, teacher: PreTrainedModel, wanted: LayerMap) -> dict[int, Tensor]:
    """Copy some of the teacher's layers; returns the projections that fit them, by layer."""
    layers = layer_map(
        wanted,
        teacher_layers=teacher.config.num_hidden_layers,
        student_layers=student.config.num_hidden_layers,
    )
    copy_layers(student, teacher, layers)
    return {layer: torch.eye(teacher.config.hidden_size, student.config.hidden_size) for layer in layers}


def copy_embeddings(student: PreTrainedModel, teacher: PreTrainedModel) -> Tensor:
    """Make the student's embeddings the best low-rank copy of the teacher's (truncated SVD, Eckart-Young).

    Returns: V (teacher width, student width) with orthonormal columns; E^S = E^T V, and V takes E^S back to E^T.
    """
    theirs = embedding_tables(teacher)
    words = theirs["word_embeddings"].double()
    _, vectors = torch.linalg.eigh(words.T @ words)  # ascending eigenvalues
    basis = vectors[:, -student.config.hidden_size :].flip(-1)
    project_tables(student, theirs, basis)
    return basis.float()


def project_tables(student: PreTrainedModel, theirs: Mapping[str, Tensor], basis: Tensor) -> None:
    """Make the student's embeddings the teacher's, (rows, D), in a basis, (D, S)."""
    for name, own in embedding_tables(student).items():
        own.zero_()  # a DistilBERT adds nothing for token types
        if name in theirs:
            rows = min(len(own), len(theirs[name]))
            own[:rows] = (theirs[name].to(basis.dtype) @ basis)[:rows]


def embedding_tables(model: PreTrainedModel) -> dict[str, Tensor]:
    """The tables of words, positions and token types that a model has, without rows that no text reads."""
    named = dict(model.named_parameters())
    tables = {name: named[key].detach() for name in TABLES if (key := f"embeddings.{name}.weight") in named}
    tables["word_embeddings"] = cast(nn.Embedding, model.get_input_embeddings()).weight.detach()
    if "position_embeddings" in tables:
        tables["position_embeddings"] = tables["position_embeddings"][rows_before_text(model.config.to_dict()) :]
    return tables


def copy_layers(student: PreTrainedModel, teacher: PreTrainedModel, layers: Mapping[int, int]) -> None:
    """Copy the teacher's embeddings and some of its layers, cut to the student's sizes.

    Of each head, layer and table the first numbers are taken; heads stay heads.

    Args: layers: student layer -> teacher layer; the others stay as they are.
    """
    theirs, names = dict(teacher.named_parameters()), LIKE_BERT[teacher.config.model_type]
    own_tables, their_tables = embedding_tables(student), embedding_tables(teacher)
    for name, own in own_tables.items():
        if name in their_tables:
            _cut_into(own, their_tables[name])
        else:
            own.zero_()  # a DistilBERT adds nothing for token types
    for name, own in student.named_parameters():
        source = _source(name, layers, names)
        if source in theirs:
            heads = student.config.num_attention_heads, teacher.config.num_attention_heads
            if any(part in name for part in BY_HEAD):
                _cut_into(_by_head(own.detach(), heads[0], 0), _by_head(theirs[source].detach(), heads[1], 0))
            elif name.endswith("attention.output.dense.weight"):
                _cut_into(_by_head(own.detach(), heads[0], 1), _by_head(theirs[source].detach(), heads[1], 1))
            else:
                _cut_into(own.detach(), theirs[source].detach())


def copy_head(student: PreTrainedModel, teacher: PreTrainedModel) -> None:
    """Copy the teacher's pooler and head, cut to the student's width, where both name and shape them alike."""
    theirs, of_head = dict(teacher.named_parameters()), weights_of_head(student)
    for name, own in student.named_parameters():
        if name in of_head and name in theirs and own.ndim == theirs[name].ndim:
            _cut_into(own.detach(), theirs[name].detach())


def weights_of_head(student: PreTrainedModel) -> set[str]:
    """The names of its pooler's and its head's weights."""
    names = {name for name, _ in student.named_parameters()}
    return {name for name in names if ".encoder.layer." not in name and ".embeddings." not in name}


def _source(name: str, layers: Mapping[int, int], names: Mapping[str, str]) -> str | None:
    """What a student's weight is called in the teacher; None: it has none."""
    if not name.startswith("encoder.layer."):
        return names.get(name, name) if name.startswith("embeddings.LayerNorm") else None
    number, rest = name.removeprefix("encoder.layer.").split(".", 1)
    if int(number) + 1 not in layers:
        return None
    part, kind = rest.rsplit(".", 1)
    start = names.get("encoder.layer.", "encoder.layer.")
    return f"{start}{layers[int(number) + 1] - 1}.{names.get(part, part)}.{kind}"


def _by_head(weight: Tensor, heads: int, dim: int) -> Tensor:
    return weight.unflatten(dim, (heads, -1))


def _cut_into(own: Tensor, theirs: Tensor) -> None:
    """Write the first numbers of each dimension."""
    part = tuple(slice(min(sizes)) for sizes in zip(own.shape, theirs.shape, strict=True))
    own[part] = theirs[part]


def student_config(folder: Path, *, hidden_dropout: float) -> PreTrainedConfig:
    """The config of a saved student; one without `model_type` (as TinyBERT is published) is a BERT's."""
    plain = read_config(folder, "student.model", default_type="bert")
    with loading_from(folder):
        config = CONFIG_MAPPING[plain["model_type"]].from_dict(plain)
    set_dropout(config, hidden_dropout)
    return config


def load_student(folder: Path, config: PreTrainedConfig) -> PreTrainedModel:
    """The encoder of a saved student. Raises: UserError when weights are missing."""
    architecture: Any = ARCHITECTURES[config.model_type][0]
    return load_complete(architecture, folder, config=config, add_pooling_layer=False)
