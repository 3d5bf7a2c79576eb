"""Scores of any size: standardised while they are learnt, in float32 to the last digit, and given back as they were."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.heads.base import Scale, output_layer
from pipeline.heads.regression import ExactLinear, RegressionHead
from pipeline.models.collate import Batch
from pipeline.models.loading import freeze
from tests import tiny
from tests.helpers.encoders import write_encoder

HEAD = RegressionHead()
SCORES = np.array([1990.0, 2005.5, 2020.0])
INPUTS = {"input_ids": torch.tensor([[2, 7, 8, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}


@pytest.fixture(scope="module", params=["bert", "xlm-roberta"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("model")
    return tiny.write_model(place) if request.param == "bert" else write_encoder(place, request.param)


def test_scores_are_standardised_and_nothing_else_is() -> None:
    targets = {"labels": torch.from_numpy(SCORES), "begins": torch.ones(1, 4)}
    batch = Batch(input_ids=INPUTS["input_ids"], attention_mask=INPUTS["attention_mask"], targets=targets)
    found = HEAD.scale(SCORES).standardise(batch)
    assert float(found.targets["labels"].mean()) == pytest.approx(0, abs=1e-9)
    assert float(found.targets["labels"].std(correction=0)) == pytest.approx(1)
    assert found.targets["begins"] is targets["begins"]
    assert found.input_ids is INPUTS["input_ids"]
    assert Scale.of(np.array([3.0, 3.0])) == (3.0, 1.0)


def test_what_is_put_into_a_model_is_what_it_gives(folder: Path) -> None:
    model = HEAD.load(folder, label_names=(), new_head=True)
    before = model(**INPUTS).logits
    one = Scale(2005.0, 12.0)
    one.fold_into(model)
    torch.testing.assert_close(model(**INPUTS).logits, before * 12 + 2005)
    one.unfold_from(model)
    torch.testing.assert_close(model(**INPUTS).logits, before, atol=1e-4, rtol=0)


def test_in_bf16_scores_keep_their_digits(folder: Path) -> None:
    model = HEAD.load(folder, label_names=(), new_head=True)
    Scale(2005.3, 1.0).fold_into(model)
    exact = model(**INPUTS).logits
    frozen = freeze(copy.deepcopy(model), precision="bf16")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = frozen(**INPUTS).logits
    assert isinstance(output_layer(frozen), ExactLinear)
    assert found.dtype == output_layer(frozen).weight.dtype == torch.float32
    torch.testing.assert_close(found, exact, atol=0.05, rtol=0)  # a bf16 sum would be 2,000 or 2,008
