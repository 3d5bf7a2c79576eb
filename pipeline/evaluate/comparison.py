"""Teacher against student: score, size, speed, and how sure one can be."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from transformers import PreTrainedModel

from pipeline.models.loading import encoder_parameter_count, parameter_count
from pipeline.models.saved_model import MODEL_FILES
from pipeline.tasks import KINDS
from pipeline.tasks.labelled_data import TaskData

LATENCY_TOKENS = 32


def size(model: PreTrainedModel, folder: Path) -> dict[str, int]:
    """Parameters in all, of the transformer layers alone, and bytes of the files that a user loads."""
    files = {path for pattern in MODEL_FILES for path in folder.glob(pattern)}
    return {
        "parameters": parameter_count(model.parameters()),
        "encoder_parameters": encoder_parameter_count(model),
        "disk_bytes": sum(path.stat().st_size for path in files),
    }


def latencies_ms(
    models: Sequence[PreTrainedModel], *, rounds: int, inputs: Sequence[str] = ("input_ids", "attention_mask")
) -> list[float]:
    """Median milliseconds of one forward pass of each model, batch 1, 32 tokens, the models taking turns.

    Args: inputs: the names of what the models take; an ONNX file takes no less.
    """
    device = models[0].device
    ids = torch.randint(5, models[0].config.vocab_size, (1, LATENCY_TOKENS), generator=torch.Generator().manual_seed(0))
    known = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    given = {name: known[name].to(device) for name in inputs}
    times: list[list[float]] = [[] for _ in models]
    with torch.inference_mode():
        for round_ in range(rounds + 3):  # the first few warm up
            for model, taken in zip(models, times, strict=True):
                start = time.perf_counter()
                model(**given)
                if device.type == "cuda":
                    torch.cuda.synchronize()
                if round_ >= 3:
                    taken.append((time.perf_counter() - start) * 1000)
    return [statistics.median(taken) for taken in times]


def kept_interval(
    score: Callable[[np.ndarray], float], *, teacher: np.ndarray, student: np.ndarray, samples: int, seed: int
) -> tuple[float, float] | None:
    """95% interval of the student's share of the teacher's score: a paired bootstrap over the rows (Efron, 1979).

    Args:
        score: of some rows' figures.
        teacher, student: figures of the same rows, (rows, S) (`pipeline.tasks.base.Kind.statistics`).

    Returns: its ends; None for a teacher that never scores above 0.
    """
    random = np.random.default_rng([seed, 4])
    shares = []
    for _ in range(samples):
        rows = random.integers(0, len(teacher), len(teacher))
        base = score(teacher[rows])
        if base > 0:
            shares.append(score(student[rows]) / base)
    if not shares:
        return None
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


def answer_table(data: TaskData, split: str, found: Mapping[str, Any], outputs: Mapping[str, np.ndarray]) -> pa.Table:
    """Each row of a split with what both models say of it.

    Args:
        found: answers by role, teacher and student.
        outputs: the same of outputs, (units, C).

    Returns: columns `split`, `texts`, `label`, and of each role what the kind of task writes of an answer: `teacher`,
        `student` (label names, scores, ...); of a classification also `teacher_probability` and `student_probability`.
    """
    examples = data.splits[split]
    columns: dict[str, list] = {
        "split": [split] * len(examples),
        "texts": [list(example.texts) for example in examples],
        "label": [example.label for example in examples],
    }
    for role in found:
        for name, values in KINDS[data.kind].written(found[role], outputs[role], data.label_names).items():
            columns[f"{role}_{name}" if name else role] = values
    return pa.table(columns)
