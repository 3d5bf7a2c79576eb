"""A rough estimate of what a run will cost: its multiplications, divided by the rate at which this machine multiplies.

A training step takes two operations for each parameter and token in its forward pass, and four in its backward pass.
"""

import time

import numpy as np

from pipeline.config import Recipe
from pipeline.hardware import gpu_count, resolve_precision
from pipeline.models.saved_model import model_shape
from pipeline.plan.plan import Plan
from pipeline.tasks.labelled_data import read_task

LAUNCH_SECONDS = 8.0  # importing torch, twice, and reading the data
CHARACTERS_A_TOKEN = 4.2
COMPRESSED = {".bz2": 4.0, ".gz": 3.0, ".xz": 4.5, ".zip": 3.0, ".parquet": 2.0}
SHARE_OF_PEAK = 0.5
GPU_RATE = 1e14  # operations a second of a GPU with bf16, before the share
BF16_TIMES_FP32 = 4.0


def estimates(plan: Plan) -> dict[str, tuple[float, float]]:
    """Seconds and bytes of every unfinished stage."""
    recipe, rate = plan.recipe, multiplication_rate(plan.recipe)
    shape, small = model_shape(plan.inputs.backbone, "backbone"), recipe.student
    teacher = 12.0 * shape.layers * shape.width**2
    student = float(small.layers * (4 * small.width**2 + 2 * small.width * small.feed_forward))
    corpus = sum(p.stat().st_size * COMPRESSED.get(p.suffix, 1.0) for p in plan.inputs.corpus) / CHARACTERS_A_TOKEN
    splits = read_task(recipe.task, plan.inputs.task).splits
    rows = [row for split in ("train", "unlabelled") for row in splits.get(split, ())]  # those that are distilled on
    characters = [sum(map(len, row.texts)) for row in rows]
    tokens = sum(min(recipe.task.max_length, 2 + count / CHARACTERS_A_TOKEN) for count in characters)
    variants = 1 + recipe.augment_data.variants
    words = 0.6 * tokens  # those of one piece, which candidates can replace
    passes = variants if recipe.distill_layers.epoch_covers == "originals" else 1
    drawn = tokens * variants / passes
    both = 2 * teacher + 6 * student
    work = {
        "pretrain_teacher": 6 * teacher * corpus * recipe.pretrain_teacher.epochs,
        "finetune_teacher": 6 * teacher * tokens * recipe.finetune_teacher.epochs,
        "distill_general": both * corpus * recipe.distill_general.epochs,
        "propose_candidates": 2 * teacher * words * tokens / max(len(rows), 1),
        "annotate_data": 2 * teacher * tokens * variants,
        "distill_layers": both * drawn * recipe.distill_layers.epochs,
        "distill_predictions": 6 * student * drawn * recipe.distill_predictions.epochs,
    }
    sizes = {
        **dict.fromkeys(("pretrain_teacher", "finetune_teacher"), 4.0 * teacher),
        **dict.fromkeys(("distill_general", "distill_layers", "distill_predictions"), 4.0 * student),
        "prepare_corpus": 2 * corpus,
        "augment_data": 60 * len(rows) * variants,
        "propose_candidates": 250 * words,
    }
    return {stage: (LAUNCH_SECONDS + work.get(stage, 0.0) / rate, sizes.get(stage, 1e4)) for stage in plan.why}


def multiplication_rate(recipe: Recipe) -> float:
    """Operations in a second that this machine is likely to reach in training."""
    if gpu_count():
        return GPU_RATE * SHARE_OF_PEAK
    matrix = np.ones((1024, 1024), dtype=np.float32)
    np.dot(matrix, matrix)
    begin = time.perf_counter()
    for _ in range(5):
        np.dot(matrix, matrix)
    fp32 = 5 * 2 * 1024**3 / (time.perf_counter() - begin)
    return fp32 * SHARE_OF_PEAK * (BF16_TIMES_FP32 if resolve_precision(recipe.precision) == "bf16" else 1.0)
