"""The augmented dataset as the stages that train or run on it see it."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset

from pipeline.artifacts.shards import write_once
from pipeline.config.training import TaskDistillation
from pipeline.evaluate.inference import predict
from pipeline.heads import head_of
from pipeline.models.loading import freeze, load_tokenizer
from pipeline.runtime.stage import Stage
from pipeline.tasks.tokenised import TokenisedTexts
from pipeline.training.batches import BatchPlan, Groups, planned

NOT_TEXT = ("source_id", "variant", "replaced")
SHARD = 8192  # rows
IN_MEMORY = 200_000  # rows whose tokens are kept in memory; more go to a file


@dataclass(frozen=True, kw_only=True)
class AugmentedTexts:
    """Tokenised rows, which of them belong together, and the task's label names (none: a regression)."""

    texts: TokenisedTexts
    groups: Groups
    label_names: tuple[str, ...]


def read_augmented(stage: Stage, folder: Path) -> Dataset:
    """The rows of an augmented dataset, memory-mapped; each process has a cache of its own."""
    files: list[Any] = sorted(str(path) for path in (folder / "data").glob("*.parquet"))
    cache = stage.work / f"arrow-{stage.accelerator.process_index}"
    return Dataset.from_parquet(files, cache_dir=str(cache))


def augmented_texts(stage: Stage, folder: Path | None = None, *, labels: bool = False) -> AugmentedTexts:
    """Tokenise the augmented dataset with the backbone's tokenizer.

    Args:
        folder: another dataset than the published one.
        labels: whether they are targets too; a variant has its original's.
    """
    dataset = read_augmented(stage, folder or stage.upstream["augment_data"])
    label = next(name for name in dataset.column_names if name not in NOT_TEXT and not _is_text(dataset, name))
    cache = stage.work / f"tokens-{stage.accelerator.process_index}.arrow"
    texts = TokenisedTexts(
        dataset,
        load_tokenizer(stage.upstream["finetune_teacher"]),
        text_columns=[name for name in dataset.column_names if name not in NOT_TEXT and _is_text(dataset, name)],
        max_length=stage.recipe.task.max_length,
        task=stage.recipe.task,
        label_column=label if labels else None,
        cache=cache if len(dataset) > IN_MEMORY else None,
    )
    source_id = np.asarray(dataset.with_format("numpy")["source_id"][:])
    feature = dataset.features[label]
    feature = getattr(feature, "feature", feature)  # of each item, where the label is a list
    names = tuple(feature.names) if isinstance(feature, ClassLabel) else ()
    groups = Groups.of(source_id[texts.row], texts.place)
    return AugmentedTexts(texts=texts, groups=groups, label_names=names)


def augmented_batches(stage: Stage, data: AugmentedTexts, settings: TaskDistillation) -> BatchPlan:
    """One variant of each original an epoch, in turn; or every row, as the recipe says."""
    groups = data.groups if settings.epoch_covers == "originals" else None
    return planned(data.texts.lengths, settings, seed=stage.recipe.seed, groups=groups)


def teacher_logits(stage: Stage, data: AugmentedTexts) -> np.ndarray:
    """The teacher's logits on all rows, (rows, classes) float32.

    A fixed shard of rows is a unit of work: processes take shards by number, and what lies in `stage.work` is not done
    again after a crash.
    """
    teacher = head_of(data.texts.kind).load(
        stage.upstream["finetune_teacher"], label_names=data.label_names, new_head=False
    )
    teacher = freeze(teacher, precision=stage.precision).to(stage.accelerator.device)
    rows = np.arange(len(data.texts))
    parts = [rows[start : start + SHARD] for start in range(0, len(rows), SHARD)]
    paths = [stage.work / f"logits-{number:05d}.npy" for number in range(len(parts))]
    tokens = stage.recipe.annotate_data.tokens_at_once

    def write(rows: np.ndarray, path: Path) -> None:
        logits = predict(teacher, data.texts, stage, rows=rows, tokens=tokens)
        with path.open("wb") as file:
            np.save(file, logits, allow_pickle=False)

    stage.work_through(
        lambda number: write_once(partial(write, parts[number]), paths[number]),
        sizes=[len(part) for part in parts],
        unit="text",
    )
    return np.concatenate([np.load(path, allow_pickle=False) for path in paths])


def _is_text(dataset: Dataset, column: str) -> bool:
    return getattr(dataset.features[column], "dtype", None) == "string"
