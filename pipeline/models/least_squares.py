"""Closed-form fits of linear maps to activations: what `fitted_start` solves.

Legend: n tokens, I inputs, O outputs. Products of many tokens are summed in float64 from float32 parts, solves are in
float64; what comes out is float32.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

RIDGE = 100.0  # tokens: what the prior of a ridge regression weighs
CHUNK = 8192  # tokens multiplied at once
SMALLEST = 1e-9  # of the largest eigenvalue of a second moment: what is below counts as this much


class Linear(NamedTuple):
    """y = x W' + b, as a linear layer has it."""

    weight_OI: Tensor
    bias_O: Tensor

    def __call__(self, inputs_nI: Tensor) -> Tensor:
        return inputs_nI @ self.weight_OI.T + self.bias_O

    def then(self, layer: nn.Linear) -> "Linear":
        """This map followed by a linear layer."""
        return Linear(layer.weight @ self.weight_OI, layer(self.bias_O))

    def split(self, outputs: int) -> "list[Linear]":
        """The same map in parts of at most so many outputs."""
        parts = zip(self.weight_OI.split(outputs), self.bias_O.split(outputs), strict=True)
        return [Linear(weight, bias) for weight, bias in parts]


def product(left_nI: Tensor, right_nO: Tensor) -> Tensor:
    """left' right / n, (I, O) in float64."""
    parts = zip(left_nI.split(CHUNK), right_nO.split(CHUNK), strict=True)
    total = torch.zeros(left_nI.shape[1], right_nO.shape[1], dtype=torch.float64, device=left_nI.device)
    for left, right in parts:
        total += (left.float().T @ right.float()).double()
    return total / len(left_nI)


def mean(states_nI: Tensor) -> Tensor:
    """(I,), summed in float64."""
    return torch.stack([part.double().sum(dim=0) for part in states_nI.split(CHUNK)]).sum(dim=0) / len(states_nI)


def ridge(inputs_nI: Tensor, targets_nO: Tensor, *, towards_OI: Tensor | None = None, bias: bool = True) -> Linear:
    """The linear map of the smallest squared error, drawn towards a prior as if RIDGE tokens of mean size said so.

        W = argmin  1/n sum |y - x W' - b|^2 + RIDGE/n * tr(C)/I * |W - W0|^2,    C the covariance of x

    With fewer tokens than inputs it stays near the prior (zero where none is given) in the directions nobody saw.
    """
    from_I, to_O = mean(inputs_nI), mean(targets_nO)
    if not bias:
        from_I, to_O = torch.zeros_like(from_I), torch.zeros_like(to_O)
    inputs, targets = (inputs_nI - from_I.float()), (targets_nO - to_O.float())
    covariance_II = product(inputs, inputs)
    prior_OI = torch.zeros(len(to_O), len(from_I)).to(covariance_II) if towards_OI is None else towards_OI.double()
    strength = RIDGE / len(inputs_nI) * covariance_II.diagonal().mean() + torch.finfo(torch.float32).tiny
    gap_IO = product(inputs, targets - inputs @ prior_OI.float().T)
    step_IO = torch.linalg.solve(covariance_II + strength * torch.eye(len(from_I)).to(covariance_II), gap_IO)
    weight_OI = prior_OI + step_IO.T
    return Linear(weight_OI.float(), (to_O - weight_OI @ from_I).float())


def scale_and_shift(inputs_nI: Tensor, targets_nI: Tensor) -> tuple[Tensor, Tensor]:
    """Gain (I,) and bias (I,) of the least squared error, one dimension at a time."""
    from_I, to_I = mean(inputs_nI), mean(targets_nI)
    inputs, targets = (inputs_nI - from_I.float()), (targets_nI - to_I.float())
    variance = mean(inputs.square())
    gain = mean(inputs * targets) / variance.clamp_min(SMALLEST)
    return gain.float(), (to_I - gain * from_I).float()


def leading_directions(moment_DD: Tensor, width: int) -> Tensor:
    """(D, width): eigenvectors of the largest eigenvalues, the largest first; zeros where there are no more."""
    _, vectors = torch.linalg.eigh(moment_DD)  # ascending
    leading = vectors.flip(-1)[:, :width]
    return pad(leading, (0, width - leading.shape[1]))


class Whitening(NamedTuple):
    """C^1/2 and C^-1/2 of a second moment C, (I, I) in float64: errors measured on the inputs, not on the weights."""

    root: Tensor
    inverse: Tensor

    @classmethod
    def of(cls, states_nI: Tensor) -> "Whitening":
        """Of some inputs."""
        values, vectors = torch.linalg.eigh(product(states_nI, states_nI))
        values = values.clamp_min(SMALLEST * values.max())
        return cls((vectors * values.sqrt()) @ vectors.T, (vectors / values.sqrt()) @ vectors.T)


def components(left_IR: Tensor, right_OR: Tensor, *, first: int, rank: int) -> tuple[Tensor, Tensor]:
    """The components `first` to `first + rank` of the product left right', as factors (I, rank) and (O, rank).

    The first ones make the nearest product of that rank (truncated SVD, Eckart-Young). What is not there is zero.
    """
    left, right = torch.linalg.qr(left_IR), torch.linalg.qr(right_OR)
    inner, values, outer = torch.linalg.svd(left.R @ right.R.T)
    part = slice(first, first + rank)
    roots = values[part].sqrt()
    room = (0, rank - len(roots))
    return pad(left.Q @ (inner[:, part] * roots), room), pad(right.Q @ (outer[part].T * roots), room)
