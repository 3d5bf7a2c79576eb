"""The task's labelled splits, tokenised, and how a classifier scores on them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel

from pipeline.batches import BatchPlan
from pipeline.config import Training
from pipeline.encoding import EncodedTexts
from pipeline.metrics import score
from pipeline.models import load_tokenizer
from pipeline.prediction import predict_together
from pipeline.stage import Stage
from pipeline.tasks import TaskData, as_datasets, read_task


@dataclass(frozen=True, kw_only=True)
class LabelledSplit:
    """Rows of one split: tokens, and a label number (int64) or score (float32) each."""

    texts: EncodedTexts
    labels: np.ndarray


def labelled_splits(stage: Stage, tokenizer: Path, *names: str) -> tuple[TaskData, dict[str, LabelledSplit]]:
    """The task and some of its splits, tokenised; the share of training texts that the length cuts is reported."""
    data = read_task(stage.recipe.task, stage.inputs.task)
    datasets = as_datasets(data)
    splits = {}
    for name in names:
        dataset = datasets[name]
        texts = EncodedTexts(
            dataset,
            load_tokenizer(tokenizer),
            text_columns=data.text_columns,
            max_length=stage.recipe.task.max_length,
        )
        labels = np.asarray(dataset.with_format("numpy")[data.label_column][:])
        splits[name] = LabelledSplit(texts=texts, labels=labels)
        stage.say(f"{name}: {len(dataset)} rows, {texts.share_cut():.1%} cut at {stage.recipe.task.max_length} tokens")
    return data, splits


def answers(data: TaskData, logits: np.ndarray) -> np.ndarray:
    """What the logits (N, C) say: a label number each, or for a regression the score."""
    return logits.argmax(axis=1) if data.label_names else logits[:, 0]


def dev_scorer(stage: Stage, data: TaskData, dev: LabelledSplit) -> Callable[[PreTrainedModel], float]:
    """A function that scores a model on the dev rows with the task's metric."""
    return lambda model: score(data.metric, answers(data, predict_together(model, dev.texts, stage)), dev.labels)


def plain_batches(stage: Stage, split: LabelledSplit, settings: Training) -> BatchPlan:
    """Every row of a split once an epoch."""
    return BatchPlan(
        split.texts.lengths,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        micro_batch_tokens=settings.micro_batch_tokens,
        seed=stage.recipe.seed,
    )
