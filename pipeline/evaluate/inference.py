"""Run a model over many texts, batched by length."""

import numpy as np
import torch
from transformers import PreTrainedModel

from pipeline.models.collate import Rows, on_device, rounded
from pipeline.models.packing import attends_by_bucket
from pipeline.runtime.stage import Stage
from pipeline.tasks.tokenised import EncodedTexts
from pipeline.training.batches import pack

SLICE = 256  # rows; fixed, so that outputs do not depend on the number of processes


def predict(
    model: PreTrainedModel, texts: EncodedTexts, stage: Stage, *, rows: Rows | None = None, tokens: int = 8192
) -> np.ndarray:
    """Outputs (units, C), float32, by this process alone: a unit is a sequence or, per token, each of its tokens.

    Args:
        rows: which sequences, in ascending order; all by default.
        tokens: padded tokens that go through the model at once.
    """
    rows = np.arange(len(texts)) if rows is None else rows
    bounds = texts.bounds(rows)
    found = np.zeros((bounds[-1], texts.kind.width(model)), dtype=np.float32)
    with torch.inference_mode(), stage.autocast():
        for batch in pack(rows, texts.lengths[rows], tokens, packed=attends_by_bucket(model)):
            inputs = on_device(texts.collate(batch), stage.accelerator.device)
            outputs = texts.kind.outputs(model, inputs).float().cpu().numpy()
            for place, output in zip(np.searchsorted(rows, batch), outputs, strict=True):
                begin, end = bounds[place : place + 2]
                found[begin:end] = output[: end - begin] if texts.kind.per_token else output
    return found


def predict_together(model: PreTrainedModel, texts: EncodedTexts, stage: Stage) -> np.ndarray:
    """The same outputs in every process, each having run its share of fixed slices."""
    bounds = texts.bounds(np.arange(len(texts)))
    found = torch.zeros(int(bounds[-1]), texts.kind.width(model))
    slices = [np.arange(start, min(start + SLICE, len(texts))) for start in range(0, len(texts), SLICE)]
    for number in stage.shares(len(slices)):
        rows = slices[number]
        outputs = predict(model, texts, stage, rows=rows)
        found[bounds[rows[0]] : bounds[rows[-1] + 1]] = torch.from_numpy(outputs)
    return stage.sum_over_processes(found).numpy()


class Outputs:
    """Outputs that lie one after another (units, C), for some sequences at a time."""

    def __init__(self, texts: EncodedTexts, outputs: np.ndarray) -> None:
        self.per_token = texts.kind.per_token
        self.outputs = outputs
        self.bounds = texts.bounds(np.arange(len(texts)))

    def of(self, row: int) -> np.ndarray:
        """Of one sequence: (1, C), or (T, C) without padding."""
        return self.outputs[self.bounds[row] : self.bounds[row + 1]]

    def collate(self, rows: Rows) -> torch.Tensor:
        """(B, C), or padded with zeros (B, T, C), beside `EncodedTexts.collate`."""
        if not self.per_token:
            return torch.from_numpy(self.outputs[rows])
        parts = [self.of(row) for row in rows.tolist()]
        padded = np.zeros((len(rows), rounded(max(map(len, parts))), self.outputs.shape[1]), dtype=np.float32)
        for place, part in zip(padded, parts, strict=True):
            place[: len(part)] = part
        return torch.from_numpy(padded)
