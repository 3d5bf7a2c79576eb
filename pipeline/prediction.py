"""Run a classifier over many texts, batched by length."""

import numpy as np
import torch
from transformers import PreTrainedModel

from pipeline.batches import Rows, pack
from pipeline.encoding import EncodedTexts
from pipeline.stage import Stage

SLICE = 256  # rows; fixed, so that logits do not depend on the number of processes


def predict(
    model: PreTrainedModel, texts: EncodedTexts, stage: Stage, *, rows: Rows | None = None, tokens: int = 8192
) -> np.ndarray:
    """Logits (rows, classes), float32, by this process alone.

    Args:
        rows: which texts, in ascending order; all by default.
        tokens: padded tokens that go through the model at once.
    """
    rows = np.arange(len(texts)) if rows is None else rows
    logits = np.zeros((len(rows), model.config.num_labels or 1), dtype=np.float32)
    with torch.inference_mode(), stage.autocast():
        for batch in pack(rows, texts.lengths[rows], tokens):
            inputs = {name: tensor.to(stage.accelerator.device) for name, tensor in texts.collate(batch).items()}
            logits[np.searchsorted(rows, batch)] = model(**inputs).logits.float().cpu().numpy()
    return logits


def predict_together(model: PreTrainedModel, texts: EncodedTexts, stage: Stage) -> np.ndarray:
    """The same logits in every process, each having run its share of fixed slices."""
    logits = torch.zeros(len(texts), model.config.num_labels or 1)
    slices = [np.arange(start, min(start + SLICE, len(texts))) for start in range(0, len(texts), SLICE)]
    for number in stage.shares(len(slices)):
        logits[slices[number]] = torch.from_numpy(predict(model, texts, stage, rows=slices[number]))
    return stage.sum_over_processes(logits).numpy()
