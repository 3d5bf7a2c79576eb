"""Teacher against student: score, size, speed, and how sure one can be."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from scipy.special import softmax
from transformers import PreTrainedModel

from pipeline.config import MetricName
from pipeline.graph import MODEL_FILES
from pipeline.metrics import score
from pipeline.models import encoder_parameter_count, parameter_count
from pipeline.tasks import TaskData

LATENCY_TOKENS = 32


def size(model: PreTrainedModel, folder: Path) -> dict[str, int]:
    """Parameters in all, of the transformer layers alone, and bytes of the files that a user loads."""
    files = {path for pattern in MODEL_FILES for path in folder.glob(pattern)}
    return {
        "parameters": parameter_count(model.parameters()),
        "encoder_parameters": encoder_parameter_count(model),
        "disk_bytes": sum(path.stat().st_size for path in files),
    }


def latencies_ms(models: Sequence[PreTrainedModel], *, rounds: int) -> list[float]:
    """Median milliseconds of one forward pass of each model, batch 1, 32 tokens, the models taking turns."""
    device = models[0].device
    ids = torch.randint(5, models[0].config.vocab_size, (1, LATENCY_TOKENS), generator=torch.Generator().manual_seed(0))
    inputs = {"input_ids": ids.to(device), "attention_mask": torch.ones_like(ids).to(device)}
    times: list[list[float]] = [[] for _ in models]
    with torch.inference_mode():
        for round_ in range(rounds + 3):  # the first few warm up
            for model, taken in zip(models, times, strict=True):
                start = time.perf_counter()
                model(**inputs)
                if device.type == "cuda":
                    torch.cuda.synchronize()
                if round_ >= 3:
                    taken.append((time.perf_counter() - start) * 1000)
    return [statistics.median(taken) for taken in times]


def kept_interval(
    metric: MetricName, *, teacher: np.ndarray, student: np.ndarray, labels: np.ndarray, samples: int, seed: int
) -> tuple[float, float] | None:
    """95% interval of the student's share of the teacher's score: a paired bootstrap over the rows (Efron, 1979).

    Returns: its ends; None for a teacher that never scores above 0.
    """
    random = np.random.default_rng([seed, 4])
    shares = []
    for _ in range(samples):
        rows = random.integers(0, len(labels), len(labels))
        base = score(metric, teacher[rows], labels[rows])
        if base > 0:
            shares.append(score(metric, student[rows], labels[rows]) / base)
    if not shares:
        return None
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


def agreement(teacher: np.ndarray, student: np.ndarray, *, regression: bool) -> float:
    """Share of the rows with the same answer; of a regression Pearson's correlation of the two."""
    return score("pearson", student, teacher) if regression else float((teacher == student).mean())


def answer_table(data: TaskData, split: str, *, teacher: np.ndarray, student: np.ndarray) -> pa.Table:
    """Each row of a split with what both models say of it.

    Args:
        teacher, student: logits, (rows, classes).

    Returns: columns `split`, `texts`, `label`, `teacher` and `student` (label names, or the scores of a regression); of
        a classification also `teacher_probability` and `student_probability`, each model's for its own answer.
    """
    examples = data.splits[split]
    columns: dict[str, list] = {
        "split": [split] * len(examples),
        "texts": [list(example.texts) for example in examples],
        "label": [example.label for example in examples],
    }
    for role, logits in (("teacher", teacher), ("student", student)):
        if data.label_names:
            columns[role] = [data.label_names[number] for number in logits.argmax(axis=1)]
            columns[f"{role}_probability"] = softmax(logits.astype(np.float64), axis=1).max(axis=1).tolist()
        else:
            columns[role] = logits[:, 0].astype(np.float64).tolist()
    return pa.table(columns)
