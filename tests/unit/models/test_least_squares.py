"""Each solve against a slow reference, and what it does with too few tokens."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.models.least_squares import (
    RIDGE,
    Linear,
    Whitening,
    components,
    leading_directions,
    mean,
    product,
    ridge,
    scale_and_shift,
)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_ridge_regression_is_least_squares_with_extra_rows_that_say_the_prior() -> None:
    inputs, targets, prior = random(300, 5) + 2, random(300, 3, seed=1), random(3, 5, seed=2)
    fitted = ridge(inputs, targets, towards_OI=prior)
    x, y = inputs.double().numpy(), targets.double().numpy()
    centred = x - x.mean(0)
    weight = np.sqrt(RIDGE * centred.var(axis=0).mean())
    rows = np.vstack([centred, weight * np.eye(5)])
    answers = np.vstack([y - y.mean(0), weight * prior.double().numpy().T])
    found = np.linalg.lstsq(rows, answers, rcond=None)[0]
    np.testing.assert_allclose(fitted.weight_OI.T, found, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fitted(inputs).mean(0), y.mean(0), rtol=1e-4, atol=1e-5)


def test_without_a_bias_the_map_goes_through_zero() -> None:
    inputs = random(4000, 4) + 1
    weight = random(2, 4, seed=1)
    fitted = ridge(inputs, inputs @ weight.T, bias=False)
    torch.testing.assert_close(fitted.bias_O, torch.zeros(2))
    torch.testing.assert_close(fitted.weight_OI, weight, rtol=0.1, atol=0.1)


def test_with_fewer_tokens_than_dimensions_the_prior_says_the_rest() -> None:
    inputs, prior = random(3, 20), random(4, 20, seed=1)
    fitted = ridge(inputs, random(3, 4, seed=2), towards_OI=prior)
    assert torch.isfinite(fitted.weight_OI).all()
    _, _, directions = torch.linalg.svd(inputs - inputs.mean(0))
    unseen = directions[2:].T  # of three centred rows two directions are seen
    torch.testing.assert_close(fitted.weight_OI @ unseen, prior @ unseen, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("inputs", [torch.zeros(50, 3), torch.ones(50, 3)], ids=["zeros", "one token again and again"])
def test_inputs_that_say_nothing_give_the_mean(inputs: Tensor) -> None:
    targets = random(50, 2)
    fitted = ridge(inputs, targets)
    torch.testing.assert_close(fitted(inputs), targets.mean(0).expand(50, 2), rtol=1e-4, atol=1e-5)


def test_gain_and_bias_are_the_regression_of_each_dimension() -> None:
    inputs, targets = random(200, 4) * 3 + 1, random(200, 4, seed=1)
    gain, bias = scale_and_shift(inputs, targets)
    for number in range(4):
        slope, intercept = np.polyfit(inputs[:, number].numpy(), targets[:, number].numpy(), 1)
        assert gain[number] == pytest.approx(slope, rel=1e-3, abs=1e-5)
        assert bias[number] == pytest.approx(intercept, rel=1e-3, abs=1e-5)


def test_a_dead_dimension_has_a_bias_alone() -> None:
    inputs = random(50, 2)
    inputs[:, 1] = 0
    gain, bias = scale_and_shift(inputs, torch.full((50, 2), 3.0))
    assert torch.isfinite(gain).all()
    torch.testing.assert_close(bias, torch.full((2,), 3.0))


def test_products_and_means_of_many_tokens_are_exact() -> None:
    left, right = random(20_000, 3) + 100, random(20_000, 2, seed=1)
    torch.testing.assert_close(product(left, right), left.double().T @ right.double() / 20_000, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(mean(left), left.double().mean(0))


def test_leading_directions_keep_most_of_the_second_moment() -> None:
    states = random(500, 6) * torch.tensor([5.0, 0.1, 3.0, 0.1, 0.1, 1.0])
    basis = leading_directions(product(states, states), 3).float()
    torch.testing.assert_close(basis.T @ basis, torch.eye(3), rtol=0, atol=1e-5)
    kept = basis.square().sum(dim=1)
    assert (kept[[0, 2, 5]] > 0.99).all()
    assert leading_directions(product(states, states), 8).shape == (6, 8)


def test_whitened_components_of_a_form_have_the_scores_of_the_least_error_on_these_inputs() -> None:
    inputs = random(400, 6) * torch.tensor([9.0, 1, 1, 1, 1, 0.01])
    left, right = random(6, 4, seed=1).double(), random(6, 4, seed=2).double()
    root, inverse = Whitening.of(inputs)
    torch.testing.assert_close(root @ root, product(inputs, inputs))
    query, key = (inverse @ factor for factor in components(root @ left, root @ right, first=0, rank=2))
    wanted = inputs.double() @ left @ right.T @ inputs.double().T
    error = ((inputs.double() @ query) @ (inputs.double() @ key).T - wanted).square().sum()
    u, values, v = torch.linalg.svd(wanted)
    best = (u[:, :2] * values[:2] @ v[:2] - wanted).square().sum()
    torch.testing.assert_close(error, best, rtol=1e-6, atol=1e-6)


def test_components_add_up_and_what_is_not_there_is_zero() -> None:
    left, right = random(6, 4).double(), random(5, 4, seed=1).double()
    first, rest = components(left, right, first=0, rank=2), components(left, right, first=2, rank=3)
    torch.testing.assert_close(first[0] @ first[1].T + rest[0] @ rest[1].T, left @ right.T)
    assert rest[0].shape == (6, 3)
    none = components(left, right, first=4, rank=2)
    assert not none[0].any()


def test_a_map_then_a_layer_is_one_map() -> None:
    first, layer, inputs = Linear(random(5, 3), random(5, seed=1)), nn.Linear(5, 2), random(7, 3, seed=2)
    torch.testing.assert_close(first.then(layer)(inputs), layer(first(inputs)))
    parts = first.split(2)
    assert [len(part.bias_O) for part in parts] == [2, 2, 1]
    torch.testing.assert_close(torch.cat([part(inputs) for part in parts], dim=1), first(inputs))
