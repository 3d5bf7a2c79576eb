"""The task's labelled splits, tokenised, and how a model scores on them."""

from collections.abc import Callable, Sequence
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
from pipeline.tasks.sequence import SOFT
from pipeline.tasks.soft_labels import targets_to_learn, to_learn
from pipeline.tasks.tokenised import TokenisedTexts, as_datasets


@dataclass(frozen=True, kw_only=True)
class LabelledSplit:
    """Rows of one split: as a dataset, as tokens, and what is right of each."""

    task: TaskData
    dataset: Dataset
    texts: TokenisedTexts
    references: Any  # as the kind of task has them: label numbers (int64), scores (float32), ...
    settings: Task  # the recipe's section

    def tokenised_by(self, tokenizer: PreTrainedTokenizerFast) -> "LabelledSplit":
        """The same rows as another tokenizer cuts them."""
        return labelled_split(self.dataset, self.task, self.settings, tokenizer)

    def predictions(self, outputs: np.ndarray, thresholds: Sequence[float] = ()) -> Any:
        """What a model's outputs say of each row. Args: thresholds: of several labels a text, the model's own."""
        return self.task.kind.predictions(self.task.kind.margins(outputs, thresholds), self.texts, self.dataset)

    def statistics(self, predictions: Any) -> np.ndarray:
        """Numbers (rows, S) from which the score of any selection of rows follows."""
        return self.task.kind.statistics(predictions, self.references)

    def score(self, outputs: np.ndarray, thresholds: Sequence[float] = ()) -> float:
        """The task's metric of a model's outputs on all rows."""
        return score(self.task, self.statistics(self.predictions(outputs, thresholds)))

    def choose_thresholds(self, outputs: np.ndarray) -> list[float]:
        """Those with the best score on these rows; none for most kinds of task."""
        return self.task.kind.choose_thresholds(outputs, self.references, self.settings, self.task.metric)


def score(task: TaskData, statistics: np.ndarray) -> float:
    """The task's metric of some rows' statistics."""
    return task.kind.score(task.metric, statistics)


def labelled_splits(stage: Stage, tokenizer: Path, *names: str) -> tuple[TaskData, dict[str, LabelledSplit]]:
    """The task and some of its splits, tokenised; the share of texts that the length cuts is reported.

    With soft labels the training rows are all that a teacher can learn (`to_learn`), with what it learns of each.
    """
    has_soft = bool(stage.recipe.task.soft_labels)
    files = {role: paths for role, paths in stage.inputs.task.items() if has_soft or role != "unlabelled"}
    data = read_task(stage.recipe.task, files)
    soft = has_soft and "train" in names
    data = to_learn(data) if soft else data
    datasets, loaded = as_datasets(data), load_tokenizer(tokenizer)
    task = data.kind.resolve(stage.recipe.task, data.splits["train"], loaded)
    if soft and (targets := targets_to_learn(data)):
        datasets["train"] = datasets["train"].add_column(SOFT, targets)
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
    return LabelledSplit(task=data, dataset=dataset, texts=texts, references=references, settings=task)


def dev_scorer(stage: Stage, dev: LabelledSplit) -> Callable[[PreTrainedModel], float]:
    """A function that scores a model on the dev rows with the task's metric, at the thresholds that suit it best."""

    def score_of(model: PreTrainedModel) -> float:
        outputs = predict_together(model, dev.texts, stage)
        return dev.score(outputs, dev.choose_thresholds(outputs))

    return score_of


def set_thresholds(model: PreTrainedModel, outputs: np.ndarray, dev: LabelledSplit) -> list[float]:
    """Note in a model's config, for whoever uses it, the thresholds that dev chooses; none for most kinds of task."""
    thresholds = dev.choose_thresholds(outputs)
    if thresholds:
        model.config.thresholds = dict(zip(dev.task.label_names, thresholds, strict=True))
    return thresholds


def thresholds_of(model: PreTrainedModel) -> list[float]:
    """Those that `set_thresholds` noted, in the order of the outputs."""
    config: Any = model.config
    known = getattr(config, "thresholds", {})
    return [known[config.id2label[label]] for label in sorted(config.id2label)] if known else []
