"""Scores of any size: standardised while they are learnt, in float32 to the last digit, and given back as they were."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.heads.regression import ExactLinear, Scale, output_layer
from pipeline.models.loading import freeze
from pipeline.tasks.regression import load, scale
from tests import tiny

SCORES = np.array([1990.0, 2005.5, 2020.0])
INPUTS = {"input_ids": torch.tensor([[2, 7, 8, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_model(tmp_path_factory.mktemp("model"))


def test_targets_are_standardised_and_other_inputs_are_not() -> None:
    found = scale(SCORES).standardised({"labels": torch.from_numpy(SCORES), "input_ids": INPUTS["input_ids"]})
    assert float(found["labels"].mean()) == pytest.approx(0, abs=1e-9)
    assert float(found["labels"].std(correction=0)) == pytest.approx(1)
    assert found["input_ids"] is INPUTS["input_ids"]
    assert Scale.of(np.array([3.0, 3.0])) == (3.0, 1.0)


def test_what_is_put_into_a_model_is_what_it_gives(folder: Path) -> None:
    model = load(folder, label_names=(), new_head=True)
    before = model(**INPUTS).logits
    one = Scale(2005.0, 12.0)
    one.put_into(model)
    torch.testing.assert_close(model(**INPUTS).logits, before * 12 + 2005)
    one.take_out_of(model)
    torch.testing.assert_close(model(**INPUTS).logits, before, atol=1e-4, rtol=0)


def test_in_bf16_scores_keep_their_digits(folder: Path) -> None:
    model = load(folder, label_names=(), new_head=True)
    Scale(2005.3, 1.0).put_into(model)
    exact = model(**INPUTS).logits
    frozen = freeze(copy.deepcopy(model), precision="bf16")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = frozen(**INPUTS).logits
    assert isinstance(output_layer(frozen), ExactLinear)
    assert found.dtype == output_layer(frozen).weight.dtype == torch.float32
    torch.testing.assert_close(found, exact, atol=0.05, rtol=0)  # a bf16 sum would be 2,000 or 2,008
