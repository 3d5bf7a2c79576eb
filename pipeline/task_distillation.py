"""The augmented dataset as the three stages that train or run on it see it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset

from pipeline.batches import BatchPlan, Groups
from pipeline.config import TaskDistillation
from pipeline.encoding import EncodedTexts
from pipeline.models import load_tokenizer
from pipeline.stage import Stage

NOT_TEXT = ("source_id", "variant", "replaced")
IN_MEMORY = 200_000  # rows whose tokens are kept in memory; more go to a file


@dataclass(frozen=True, kw_only=True)
class AugmentedTexts:
    """Tokenised rows, which of them belong together, and the task's label names (none: a regression)."""

    texts: EncodedTexts
    groups: Groups
    label_names: tuple[str, ...]


def read_augmented(stage: Stage) -> Dataset:
    """The published dataset's rows, memory-mapped; each process has a cache of its own."""
    files: list[Any] = sorted(str(path) for path in (stage.upstream["augment_data"] / "data").glob("*.parquet"))
    cache = stage.work / f"arrow-{stage.accelerator.process_index}"
    return Dataset.from_parquet(files, cache_dir=str(cache))


def augmented_texts(stage: Stage) -> AugmentedTexts:
    """Tokenise the augmented dataset with the backbone's tokenizer."""
    dataset = read_augmented(stage)
    label = next(name for name in dataset.column_names if name not in NOT_TEXT and not _is_text(dataset, name))
    feature = dataset.features[label]
    cache = stage.work / f"tokens-{stage.accelerator.process_index}.arrow"
    texts = EncodedTexts(
        dataset,
        load_tokenizer(stage.upstream["finetune_teacher"]),
        text_columns=[name for name in dataset.column_names if name not in NOT_TEXT and _is_text(dataset, name)],
        max_length=stage.recipe.task.max_length,
        task=stage.recipe.task,
        cache=cache if len(dataset) > IN_MEMORY else None,
    )
    source_id = np.asarray(dataset.with_format("numpy")["source_id"][:])
    feature = getattr(feature, "feature", feature)  # of each item, where the label is a list
    names = tuple(feature.names) if isinstance(feature, ClassLabel) else ()
    groups = Groups.of(source_id[texts.row], texts.place)
    return AugmentedTexts(texts=texts, groups=groups, label_names=names)


def augmented_batches(stage: Stage, data: AugmentedTexts, settings: TaskDistillation) -> BatchPlan:
    """One variant of each original an epoch, in turn; or every row, as the recipe says."""
    return BatchPlan(
        data.texts.lengths,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        micro_batch_tokens=settings.micro_batch_tokens,
        seed=stage.recipe.seed,
        groups=data.groups if settings.epoch_covers == "originals" else None,
    )


def _is_text(dataset: Dataset, column: str) -> bool:
    return getattr(dataset.features[column], "dtype", None) == "string"
