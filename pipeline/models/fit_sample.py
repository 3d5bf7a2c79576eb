"""The texts on which a student is fitted to its teacher, and what both models give on them, a row a real token.

Legend: n tokens, D and S widths of teacher and student, B and T rows and tokens of a batch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pipeline.models.architectures import LIKE_BERT
from pipeline.models.collate import Batch, Rows, buckets, collate

MEMORY = 1 << 30  # bytes that the teacher's states on the sample may take
AT_ONCE = 4096  # padded tokens that go through a model at once
STATES = 4  # that are kept of a teacher's layer

# What is kept of a layer: the name in a BERT, and whether it goes into that module or comes out of it.
_KEPT = {
    "before_attention_norm": ("attention.output.LayerNorm", "input"),
    "after_attention": ("attention.output.LayerNorm", "output"),
    "before_norm": ("output.LayerNorm", "input"),
    "output": ("output.LayerNorm", "output"),
}


@dataclass(kw_only=True)
class TeacherLayer:
    """One layer of a BERT-like teacher: its parts, and its states on the sample, (n, D) each."""

    parts: Mapping[str, Any]  # by the name in a BERT
    heads: int
    states: dict[str, Tensor] = field(default_factory=dict)  # `input`, and those of _KEPT

    def head(self, number: int) -> slice:
        """The coordinates of a head's queries, keys and values."""
        width = self.parts["attention.self.query"].out_features // self.heads
        return slice(number * width, (number + 1) * width)


class FitSample:
    """Texts, in batches, longest first.

    Args:
        columns: `input_ids`, and for pairs `token_type_ids`, of some rows by number.
        rows: the numbers of the texts of the sample.
        lengths: how many tokens each text has, those outside the sample too.
    """

    def __init__(
        self, columns: Callable[[Rows], Mapping[str, Any]], rows: Rows, lengths: np.ndarray, pad_id: int
    ) -> None:
        rows = rows[np.argsort(-lengths[rows], kind="stable")]
        cuts = np.cumsum([count for count, _ in buckets(lengths[rows], AT_ONCE)])[:-1]
        self.batches: Sequence[Batch] = [
            collate(columns(part), pad_id, packed=False) for part in np.split(rows, cuts) if len(part)
        ]
        self.texts, self.tokens = len(rows), int(lengths[rows].sum())

    def to(self, device: torch.device) -> "FitSample":
        """The same, its batches on a device."""
        self.batches = [batch.to(device) for batch in self.batches]
        return self

    def flat(self, states: Sequence[Tensor]) -> Tensor:
        """States (B, T, ...) a batch as (n, ...), without padding."""
        pairs = zip(states, self.batches, strict=True)
        return torch.cat([state[batch.attention_mask.bool()] for state, batch in pairs])

    def padded(self, states: Tensor) -> Iterator[tuple[Batch, Tensor]]:
        """Each batch with its part of the states (n, ...), padded with zeros, (B, T, ...)."""
        begin = 0
        for batch in self.batches:
            real_BT = batch.attention_mask.bool()
            end = begin + int(real_BT.sum())
            part = states.new_zeros(*real_BT.shape, *states.shape[1:])
            part[real_BT] = states[begin:end]
            yield batch, part
            begin = end

    def through_layer(self, layer: nn.Module, states_nS: Tensor) -> Tensor:
        """The output of a BERT's layer, or of its self-attention, on these states."""
        outputs = []
        for batch, states_BTS in self.padded(states_nS):
            output = layer(states_BTS, attention_mask=batch.attention_mask.bool()[:, None, None])
            outputs.append(output[0] if isinstance(output, tuple) else output)
        return self.flat(outputs)

    def embedded(self, student: PreTrainedModel) -> Tensor:
        """What goes into the layer norm of a BERT's embeddings."""
        with keeping({"sum": (student.get_submodule("embeddings.LayerNorm"), "input")}) as kept:
            for batch in self.batches:
                student.get_submodule("embeddings")(input_ids=batch.input_ids, token_type_ids=batch.token_type_ids)
        return self.flat(kept["sum"])

    def teacher_states(self, teacher: PreTrainedModel, layers: Sequence[int]) -> tuple[Tensor, dict[int, TeacherLayer]]:
        """The output of the embeddings (n, D), and the layers, in one pass. Args: layers: their numbers, from 1."""
        found = {number: _teacher_layer(teacher, number) for number in layers}
        modules = {
            (number, name): (layer.parts[part], side)
            for number, layer in found.items()
            for name, (part, side) in _KEPT.items()
        }
        hidden: dict[int, list[Tensor]] = {number: [] for number in (0, *(number - 1 for number in layers))}
        with keeping(modules) as kept:
            for batch in self.batches:
                inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
                if batch.token_type_ids is not None:
                    inputs["token_type_ids"] = batch.token_type_ids
                states = teacher(**inputs, output_hidden_states=True).hidden_states
                for number, kept_states in hidden.items():
                    kept_states.append(states[number])
        flat = {number: self.flat(hidden.pop(number)) for number in list(hidden)}  # what is flat is not kept twice
        for number, layer in found.items():
            layer.states = {"input": flat[number - 1]} | {name: self.flat(kept.pop((number, name))) for name in _KEPT}
        return flat[0], found


def spread_rows(lengths: np.ndarray, tokens: int) -> Rows:
    """Rows from all over a data set that have about so many tokens."""
    share = min(1.0, tokens / max(1, int(lengths.sum())))
    return np.unique(np.linspace(0, len(lengths) - 1, max(1, int(share * len(lengths)))).round().astype(np.int64))


def rows_within_memory(lengths: np.ndarray, *, width: int, layers: int) -> Rows:
    """Rows from all over a data set, as many as MEMORY allows for the states of so many layers of a teacher."""
    tokens = MEMORY // (4 * width * (1 + (STATES + 1) * layers))
    rows = spread_rows(lengths, tokens)
    return rows[np.cumsum(lengths[rows]) <= max(tokens, int(lengths[rows[:1]].sum()))]


@contextmanager
def keeping(modules: Mapping[Any, tuple[nn.Module, str]]) -> Iterator[dict[Any, list[Tensor]]]:
    """Meanwhile what goes into some modules ("input"), or comes out of them ("output"), is kept, call after call."""
    kept: dict[Any, list[Tensor]] = {name: [] for name in modules}

    def keep(name: Any, side: str) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            kept[name].append(inputs[0] if side == "input" else output)

        return hook

    handles = [module.register_forward_hook(keep(name, side)) for name, (module, side) in modules.items()]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def _teacher_layer(teacher: PreTrainedModel, number: int) -> TeacherLayer:
    names = LIKE_BERT[teacher.config.model_type]
    start = f"{names.get('encoder.layer.', 'encoder.layer.')}{number - 1}."
    parts = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
    parts += ("attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm")
    found = {part: teacher.get_submodule(start + names.get(part, part)) for part in parts}
    return TeacherLayer(parts=found, heads=teacher.config.num_attention_heads)
