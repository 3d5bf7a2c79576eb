"""Run a model over many texts, batched by length."""

import numpy as np
import torch
from transformers import PreTrainedModel

from pipeline.errors import require
from pipeline.hardware import round_up
from pipeline.heads import head_of
from pipeline.models.attention import can_pack
from pipeline.models.collate import Rows, collate
from pipeline.runtime.stage import Stage
from pipeline.tasks.tokenised import TokenisedTexts
from pipeline.training.batches import cut_into_micro_batches

SLICE = 256  # rows; fixed, so that outputs do not depend on the number of processes


def predict(
    model: PreTrainedModel, texts: TokenisedTexts, stage: Stage, *, rows: Rows | None = None, tokens: int = 8192
) -> np.ndarray:
    """Outputs (units, C), float32, by this process alone: a unit is a sequence or, per token, each of its tokens.

    Args:
        rows: which sequences, in ascending order; all by default.
        tokens: padded tokens that go through the model at once.
    """
    rows = np.arange(len(texts)) if rows is None else rows
    bounds = texts.bounds(rows)
    head, packed = head_of(texts.kind), can_pack(model)
    found = np.zeros((bounds[-1], head.width(model)), dtype=np.float32)
    with torch.inference_mode(), stage.autocast():
        for chosen in cut_into_micro_batches(rows, texts.lengths[rows], tokens, packed=packed):
            batch = collate(texts.columns(chosen), texts.pad_id, packed=packed).to(stage.accelerator.device)
            outputs = head.outputs(model, batch).float().cpu().numpy()
            for index, output in zip(np.searchsorted(rows, chosen), outputs, strict=True):
                begin, end = bounds[index : index + 2]
                found[begin:end] = output[: end - begin] if texts.kind.per_token else output
    return found


def predict_together(model: PreTrainedModel, texts: TokenisedTexts, stage: Stage) -> np.ndarray:
    """The same outputs in every process, each having run its share of fixed slices."""
    bounds = texts.bounds(np.arange(len(texts)))
    found = torch.zeros(int(bounds[-1]), head_of(texts.kind).width(model))
    slices = [np.arange(start, min(start + SLICE, len(texts))) for start in range(0, len(texts), SLICE)]
    for number in stage.own_share(len(slices)):
        rows = slices[number]
        outputs = predict(model, texts, stage, rows=rows)
        found[bounds[rows[0]] : bounds[rows[-1] + 1]] = torch.from_numpy(outputs)
    return stage.sum_over_processes(found).numpy()


class StoredOutputs:
    """Outputs that lie one after another (units, C), for some sequences at a time."""

    def __init__(self, texts: TokenisedTexts, outputs: np.ndarray) -> None:
        """Raises: UserError where the outputs are of other texts: their number is another one."""
        self.per_token = texts.kind.per_token
        self.outputs = outputs
        self.bounds = texts.bounds(np.arange(len(texts)))
        require(
            len(outputs) == self.bounds[-1],
            f"the teacher's stored logits have {len(outputs):,} rows, and the augmented dataset needs"
            f" {self.bounds[-1]:,}: they are of other texts; make them again (--force annotate_data)",
        )

    def of(self, row: int) -> np.ndarray:
        """Of one sequence: (1, C), or (T, C) without padding."""
        return self.outputs[self.bounds[row] : self.bounds[row + 1]]

    def collate(self, rows: Rows) -> torch.Tensor:
        """(B, C), or padded with zeros (B, T, C), beside the batch of these sequences."""
        if not self.per_token:
            return torch.from_numpy(self.outputs[rows])
        parts = [self.of(row) for row in rows.tolist()]
        padded = np.zeros((len(rows), round_up(max(map(len, parts))), self.outputs.shape[1]), dtype=np.float32)
        for row, part in zip(padded, parts, strict=True):
            row[: len(part)] = part
        return torch.from_numpy(padded)
