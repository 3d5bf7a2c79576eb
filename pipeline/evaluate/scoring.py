"""The task's labelled splits, tokenised: how a model learns from them, and how it scores."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from pipeline.config.data import Task
from pipeline.evaluate.inference import predict_together
from pipeline.models.collate import Inputs
from pipeline.models.loading import load_tokenizer
from pipeline.runtime.stage import Stage
from pipeline.tasks import KINDS
from pipeline.tasks.labelled_data import TaskData, as_datasets, read_task
from pipeline.tasks.tokenised import EncodedTexts
from pipeline.training.batches import GlobalBatch


@dataclass(frozen=True, kw_only=True)
class LabelledSplit:
    """Rows of one split: as a dataset, as tokens, and what is right of each."""

    dataset: Dataset
    texts: EncodedTexts
    labels: Any
    """As the kind of task has them (`Kind.gold`): label numbers (int64), scores (float32), ..."""


def labelled_splits(stage: Stage, tokenizer: Path, *names: str) -> tuple[TaskData, dict[str, LabelledSplit]]:
    """The task and some of its splits, tokenised; the share of training texts that the length cuts is reported."""
    files = {role: paths for role, paths in stage.inputs.task.items() if role != "unlabelled"}
    data = read_task(stage.recipe.task, files)
    datasets, task = as_datasets(data), stage.recipe.task
    splits = {name: labelled_split(datasets[name], data, task, load_tokenizer(tokenizer)) for name in names}
    for name, split in splits.items():
        cut = split.texts.share_cut()
        stage.say(f"{name}: {len(split.dataset)} rows, {cut:.1%} cut at {task.max_length} tokens")
    return data, splits


def labelled_split(dataset: Dataset, data: TaskData, task: Task, tokenizer: PreTrainedTokenizerFast) -> LabelledSplit:
    """One of the splits of `as_datasets`, tokenised."""
    texts = EncodedTexts(
        dataset,
        tokenizer,
        text_columns=data.text_columns,
        max_length=task.max_length,
        task=task,
        label_column=data.label_column,
    )
    return LabelledSplit(dataset=dataset, texts=texts, labels=KINDS[data.kind].gold(dataset, data.label_column))


def answers(data: TaskData, outputs: np.ndarray, split: LabelledSplit) -> Any:
    """What a model's outputs say of each row."""
    return KINDS[data.kind].answers(outputs, split.texts, split.dataset)


def judged(data: TaskData, found: Any, split: LabelledSplit) -> np.ndarray:
    """Figures (rows, S) that the score of the answers follows from."""
    return KINDS[data.kind].statistics(found, split.labels)


def score(data: TaskData, figures: np.ndarray) -> float:
    """The task's metric of some rows' figures."""
    return KINDS[data.kind].score(data.metric, figures)


def supervised_loss(texts: EncodedTexts) -> Callable[[nn.Module, Inputs, GlobalBatch], dict[str, Tensor]]:
    """The kind of task's loss of the labels, which are among the inputs."""

    def loss(model: nn.Module, inputs: Inputs, batch: GlobalBatch) -> dict[str, Tensor]:
        supervised = texts.kind.supervised
        assert supervised is not None  # the plan has said so
        return supervised(texts.kind.outputs(model, inputs), inputs, texts.weight(batch))

    return loss


def dev_scorer(stage: Stage, data: TaskData, dev: LabelledSplit) -> Callable[[PreTrainedModel], float]:
    """A function that scores a model on the dev rows with the task's metric."""

    def score_of(model: PreTrainedModel) -> float:
        found = answers(data, predict_together(model, dev.texts, stage), dev)
        return score(data, judged(data, found, dev))

    return score_of
