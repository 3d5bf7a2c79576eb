"""A student that starts as a fitted copy of its teacher: each part solved in closed form, on real text.

The student's layer m is fitted to layer g(m) of a BERT-like teacher, one layer after the other, each on the states that
the student itself gives: what a part cannot copy, later parts correct. The student's states aim at the teacher's in a
basis V of their leading directions.

    embeddings     the teacher's tables times V
    queries, keys  of each head, the form of low rank whose scores are nearest to the teacher's on these inputs
    values         of each head, the nearest map of low rank
    output         least squares on the student's own contexts; the target is what the teacher's layer norm is given
    feed-forward   the teacher's units that matter most; their inputs and their outputs by least squares
    layer norms    gain and bias by least squares, one dimension at a time
    projections    least squares from the student's states to the teacher's

It resembles cutting a student out of its teacher (Extract-Then-Distill, arXiv:2104.11928; weight selection,
arXiv:2311.18823), a basis of the states (SliceGPT, arXiv:2401.15024), low rank measured on activations (ASVD,
arXiv:2312.05821) and the calibration by least squares that follows pruning (SparseGPT, arXiv:2301.00774).

Legend: n tokens, D and S widths of teacher and student, F units of the student's feed-forward.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, pad
from transformers import PreTrainedModel

from pipeline.models.fit_sample import FitSample, TeacherLayer
from pipeline.models.least_squares import (
    Linear,
    Whitening,
    components,
    leading_directions,
    product,
    ridge,
    scale_and_shift,
)
from pipeline.models.student_init import embedding_tables, project_tables


class FittedStart:
    """One student on its way to being fitted.

    Args:
        student: a BERT encoder in eval mode, whose weights are overwritten.
        teacher: a BERT-like encoder of float32 weights.
        sample: the texts on which they are compared, on the same device as both.
        layers: student layer -> teacher layer. A layer without one keeps its weights.
    """

    def __init__(
        self, student: PreTrainedModel, teacher: PreTrainedModel, sample: FitSample, layers: Mapping[int, int]
    ) -> None:
        self.student: Any = student
        self.teacher: Any = teacher
        for parameter in teacher.parameters():  # a mapped file's lie anywhere, and where decides about the last bits
            parameter.data = parameter.data.clone()
        self.sample = sample
        self.layers = {own: source for own, source in layers.items() if own}

    @torch.no_grad()
    def run(self) -> dict[int, Tensor]:
        """Fit every part. Returns: by layer of the student, the projection to the teacher's width, (D, S)."""
        embedded_nD, theirs = self.sample.teacher_states(self.teacher, sorted(set(self.layers.values())))
        self.basis_DS = self._basis([embedded_nD, *(layer.states["output"] for layer in theirs.values())])
        states_nS = self._fit_embeddings(embedded_nD)
        projections = {0: self._projection(states_nS, embedded_nD)}
        for number, layer in enumerate(self.student.encoder.layer, start=1):
            if number not in self.layers:
                states_nS = self.sample.through_layer(layer, states_nS)
                continue
            source = theirs[self.layers[number]]
            states_nS = self._fit_feed_forward(layer, source, self._fit_attention(layer, source, states_nS))
            projections[number] = self._projection(states_nS, source.states["output"])
        return projections

    def _basis(self, states: list[Tensor]) -> Tensor:
        """V, (D, S): leading directions of the mapped layers' states, rotated.

        A layer norm takes the mean over the coordinates away. The rotation gives this mean to the direction that
        matters least. A student of the teacher's width keeps the teacher's coordinates.
        """
        D, S = self.teacher.config.hidden_size, self.student.config.hidden_size
        if D == S:
            return torch.eye(D, device=states[0].device)
        moments = torch.stack([product(state, state) for state in states]).sum(dim=0)
        directions_DS = leading_directions(moments, S).roll(1, dims=-1)  # the last comes first
        random_SS = torch.randn(S, S, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        random_SS[:, 0] = 1.0
        rotation_SS = torch.linalg.qr(random_SS).Q  # its first column is the mean over the coordinates
        return (directions_DS @ rotation_SS.T.to(directions_DS)).float()

    def _projection(self, states_nS: Tensor, theirs_nD: Tensor) -> Tensor:
        return ridge(states_nS, theirs_nD, towards_OI=self.basis_DS, bias=False).weight_OI

    def _fit_embeddings(self, theirs_nD: Tensor) -> Tensor:
        widen = getattr(self.teacher, "embeddings_project", None)  # of an ELECTRA with narrow embeddings
        to_student = self.basis_DS if widen is None else widen.weight.T @ self.basis_DS
        project_tables(self.student, embedding_tables(self.teacher), to_student)
        norm, summed_nS = self.student.embeddings.LayerNorm, self.sample.embedded(self.student)
        return fit_layer_norm(norm, summed_nS, theirs_nD @ self.basis_DS)

    def _fit_attention(self, layer: Any, theirs: TeacherLayer, states_nS: Tensor) -> Tensor:
        """Returns: the states after the attention block, (n, S)."""
        basis_DS, attention = self.basis_DS, layer.attention.self
        outputs = self._fit_heads(attention, theirs, states_nS)
        contexts_nS = self.sample.through_layer(attention, states_nS)
        target_nS = theirs.states["before_attention_norm"] @ basis_DS - states_nS
        fitted = ridge(contexts_nS, target_nS, towards_OI=outputs)
        write(layer.attention.output.dense, fitted)
        after_nS = theirs.states["after_attention"] @ basis_DS
        return fit_layer_norm(layer.attention.output.LayerNorm, states_nS + fitted(contexts_nS), after_nS)

    def _fit_heads(self, attention: Any, theirs: TeacherLayer, states_nS: Tensor) -> Tensor:
        """Write queries, keys and values; returns what the heads' contexts would go through, (S, heads x width)."""
        width = attention.attention_head_size
        back = ridge(states_nS, theirs.states["input"], towards_OI=self.basis_DS)  # to the teacher's input
        named = ("query", "key", "value")
        parts = {name: _with_bias(back, theirs.parts[f"attention.self.{name}"]) for name in named}
        output_SD = (self.basis_DS.T @ theirs.parts["attention.output.dense"].weight).double()
        inputs = Whitening.of(pad(states_nS, (0, 1), value=1.0))
        found: dict[str, list[Tensor]] = {name: [] for name in (*named, "output")}
        for heads, turn in shared_heads(attention.num_attention_heads, theirs.heads):
            columns = [theirs.head(head) for head in heads]
            query, key, value = (torch.cat([parts[name][:, column] for column in columns], dim=1) for name in named)
            outer_SR = torch.cat([output_SD[:, column] for column in columns], dim=1)
            scale = (query.shape[1] // len(heads)) ** -0.5 / len(heads)  # the mean of their scores
            left, right = components(inputs.root @ query * scale, inputs.root @ key, first=0, rank=width)
            even = width**0.25  # on both sides, since the student divides its scores by the root of its width
            inner, outer = components(inputs.root @ value, outer_SR, first=turn * width, rank=width)
            factors = (inputs.inverse @ left * even, inputs.inverse @ right * even, inputs.inverse @ inner, outer)
            for name, factor in zip(found, factors, strict=True):
                found[name].append(factor)
        for name in named:
            joined = torch.cat(found[name], dim=1).T.float()  # (heads x width, S + 1)
            write(getattr(attention, name), Linear(joined[:, :-1], joined[:, -1]))
        return torch.cat(found["output"], dim=1).float()

    def _fit_feed_forward(self, layer: Any, theirs: TeacherLayer, states_nS: Tensor) -> Tensor:
        """Returns: the layer's output, (n, S)."""
        basis_DS, active = self.basis_DS, layer.intermediate.intermediate_act_fn
        back = ridge(states_nS, theirs.states["after_attention"], towards_OI=basis_DS)
        inner = back.then(theirs.parts["intermediate.dense"])
        output_SF = basis_DS.T @ theirs.parts["output.dense"].weight
        units = layer.intermediate.dense.out_features
        matter = torch.cat([active(part(states_nS)).std(dim=0) for part in inner.split(units)])
        kept = (matter * output_SF.norm(dim=0)).argsort(descending=True, stable=True)[:units]
        write(layer.intermediate.dense, Linear(inner.weight_OI[kept], inner.bias_O[kept]))
        activations_nF = active(layer.intermediate.dense(states_nS))
        prior_SF = pad(output_SF[:, kept], (0, units - len(kept)))
        fitted = ridge(activations_nF, theirs.states["before_norm"] @ basis_DS - states_nS, towards_OI=prior_SF)
        write(layer.output.dense, fitted)
        target_nS = theirs.states["output"] @ basis_DS
        return fit_layer_norm(layer.output.LayerNorm, states_nS + fitted(activations_nF), target_nS)


def shared_heads(own: int, theirs: int) -> Iterator[tuple[list[int], int]]:
    """For each of a student's heads, the teacher's heads that it stands for, and its turn among those that share one.

    Fewer heads than the teacher: each stands for some, by the mean of their scores. More: several share one, and divide
    what its values carry.
    """
    for head in range(own):
        if own <= theirs:
            yield [number for number in range(theirs) if number * own // theirs == head], 0
        else:
            source = head * theirs // own
            yield [source], head - next(number for number in range(own) if number * theirs // own == source)


def fit_layer_norm(norm: Any, summed_nS: Tensor, target_nS: Tensor) -> Tensor:
    """Set a layer norm's gain and bias; returns its output."""
    normalised_nS = layer_norm(summed_nS, norm.normalized_shape, eps=norm.eps)
    gain_S, bias_S = scale_and_shift(normalised_nS, target_nS)
    norm.weight.copy_(gain_S)
    norm.bias.copy_(bias_S)
    return normalised_nS * gain_S + bias_S


def write(layer: nn.Linear, fitted: Linear) -> None:
    """Put fitted weights into a linear layer; outputs beyond them keep what they have."""
    layer.weight[: len(fitted.weight_OI)] = fitted.weight_OI
    layer.bias[: len(fitted.bias_O)] = fitted.bias_O


def _with_bias(back: Linear, part: nn.Linear) -> Tensor:
    """A map to the teacher's states and then one of its layers, (S + 1, O) in float64, the last row being the bias."""
    whole = back.then(part)
    return torch.cat([whole.weight_OI, whole.bias_O[:, None]], dim=1).T.double()
