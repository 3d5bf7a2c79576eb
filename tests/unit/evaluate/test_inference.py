"""A classifier run over many texts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import PreTrainedModel

from pipeline.errors import UserError
from pipeline.evaluate.inference import StoredOutputs, predict, predict_together
from pipeline.models.loading import load_classifier, load_tokenizer
from pipeline.tasks.tokenised import TokenisedTexts
from tests.helpers.one_process import make_stage
from tests.tiny import write_model

TEXTS = [" ".join(["the film is good"] * count) for count in (3, 1, 7, 2, 20, 1, 5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def texts(folder: Path) -> TokenisedTexts:
    dataset = Dataset.from_dict({"text": TEXTS})
    return TokenisedTexts(dataset, load_tokenizer(folder), text_columns=["text"], max_length=24)


@pytest.fixture(scope="module")
def model(folder: Path) -> PreTrainedModel:
    torch.manual_seed(0)
    return load_classifier(folder, label_names=("a", "b", "c"), new_head=True).eval()


@torch.no_grad()
def test_logits_are_in_the_order_of_the_rows(texts: TokenisedTexts, model: PreTrainedModel, tmp_path: Path) -> None:
    one_by_one = [model(torch.tensor([ids])).logits[0].numpy() for ids in texts.rows["input_ids"]]
    for tokens in (1, 48, 8192):
        logits = predict(model, texts, make_stage(tmp_path), tokens=tokens)
        np.testing.assert_allclose(logits, one_by_one, rtol=1e-4, atol=1e-6)
    some = predict(model, texts, make_stage(tmp_path), rows=np.array([1, 2, 6]))
    np.testing.assert_allclose(some, [one_by_one[row] for row in (1, 2, 6)], rtol=1e-4, atol=1e-6)


def test_logits_of_slices_are_put_together(
    texts: TokenisedTexts, model: PreTrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = make_stage(tmp_path)
    monkeypatch.setattr("pipeline.evaluate.inference.SLICE", 3)
    logits = predict_together(model, texts, stage)
    np.testing.assert_allclose(logits, predict(model, texts, stage), rtol=1e-4, atol=1e-6)


def test_logits_are_float32_in_bf16_too(texts: TokenisedTexts, model: PreTrainedModel, tmp_path: Path) -> None:
    half = predict(model, texts, make_stage(tmp_path, precision="bf16"))
    whole = predict(model, texts, make_stage(tmp_path))
    assert half.dtype == np.float32
    assert not np.array_equal(half, whole)
    np.testing.assert_allclose(half, whole, atol=0.02)


@pytest.mark.parametrize("rows", [len(TEXTS) - 1, len(TEXTS) + 1])
def test_stored_outputs_of_other_texts_are_refused(texts: TokenisedTexts, rows: int) -> None:
    StoredOutputs(texts, np.zeros((len(TEXTS), 2), dtype=np.float32))
    with pytest.raises(UserError, match=f"have {rows} rows, and the augmented dataset needs {len(TEXTS)}: .*--force"):
        StoredOutputs(texts, np.zeros((rows, 2), dtype=np.float32))
