"""The task's labelled splits, tokenised, and how a model scores on them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from pipeline.config.data import Task
from pipeline.evaluate.inference import predict_together
from pipeline.models.loading import load_tokenizer
from pipeline.runtime.stage import Stage
from pipeline.tasks.labelled_data import TaskData, read_task
from pipeline.tasks.tokenised import TokenisedTexts, as_datasets


@dataclass(frozen=True, kw_only=True)
class LabelledSplit:
    """Rows of one split: as a dataset, as tokens, and what is right of each."""

    task: TaskData
    dataset: Dataset
    texts: TokenisedTexts
    references: Any  # as the kind of task has them: label numbers (int64), scores (float32), ...

    def predictions(self, outputs: np.ndarray) -> Any:
        """What a model's outputs say of each row."""
        return self.task.kind.predictions(outputs, self.texts, self.dataset)

    def statistics(self, predictions: Any) -> np.ndarray:
        """Numbers (rows, S) from which the score of any selection of rows follows."""
        return self.task.kind.statistics(predictions, self.references)

    def score(self, outputs: np.ndarray) -> float:
        """The task's metric of a model's outputs on all rows."""
        return score(self.task, self.statistics(self.predictions(outputs)))


def score(task: TaskData, statistics: np.ndarray) -> float:
    """The task's metric of some rows' statistics."""
    return task.kind.score(task.metric, statistics)


def labelled_splits(stage: Stage, tokenizer: Path, *names: str) -> tuple[TaskData, dict[str, LabelledSplit]]:
    """The task and some of its splits, tokenised; the share of texts that the length cuts is reported."""
    files = {role: paths for role, paths in stage.inputs.task.items() if role != "unlabelled"}
    data = read_task(stage.recipe.task, files)
    datasets, loaded = as_datasets(data), load_tokenizer(tokenizer)
    task = data.kind.resolve(stage.recipe.task, data.splits["train"], loaded)
    splits = {name: labelled_split(datasets[name], data, task, loaded) for name in names}
    for name, split in splits.items():
        cut = split.texts.share_cut()
        stage.say(f"{name}: {len(split.dataset)} rows, {cut:.1%} cut at {task.max_length} tokens")
    return data, splits


def labelled_split(dataset: Dataset, data: TaskData, task: Task, tokenizer: PreTrainedTokenizerFast) -> LabelledSplit:
    """One of the splits of `as_datasets`, tokenised."""
    texts = TokenisedTexts(
        dataset,
        tokenizer,
        text_columns=data.text_columns,
        max_length=task.max_length,
        task=task,
        label_column=data.label_column,
    )
    references = data.kind.references(dataset, data.label_column)
    return LabelledSplit(task=data, dataset=dataset, texts=texts, references=references)


def dev_scorer(stage: Stage, dev: LabelledSplit) -> Callable[[PreTrainedModel], float]:
    """A function that scores a model on the dev rows with the task's metric."""
    return lambda model: dev.score(predict_together(model, dev.texts, stage))
