"""Augment the data: variants of each text, some words replaced by candidates (TinyBERT, Algorithm 1).

    accelerate launch -m stages.augment_data --recipe recipes/rotten_tomatoes.yaml

Reads:  the task's training and unlabelled rows, the candidates (propose_candidates); or a dataset that exists.
Writes: data/train-*.parquet and README.md, its card: a dataset that `datasets.load_dataset(folder)` and pandas read.
        Columns: the task's own, source_id, variant (0: the original), replaced.

A pure function of the seed, the rows and the candidates. A fixed slice of the examples is a unit of work, as in
propose_candidates. Where variants must keep the teacher's answer it costs the teacher too, on all of them.
"""

import importlib.metadata
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, compress, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from datasets import DatasetDict, concatenate_datasets

from data_augment.candidates_folder import read_candidates
from data_augment.card import Statistics
from data_augment.dataset import (
    SHARD_EXAMPLES,
    Shard,
    count_paths,
    read_counts,
    shard_paths,
    why_no_variant,
    write_card,
    write_shard,
)
from data_augment.variants import Row, augment_rows, count_occurrences
from pipeline.artifacts.atomic import checksum, link_or_copy
from pipeline.artifacts.store import MANIFEST
from pipeline.config.data import AugmentData
from pipeline.distill.augmented_dataset import augmented_texts, teacher_logits
from pipeline.launch.stage_runner import run_stage
from pipeline.runtime.stage import Stage
from pipeline.tasks.augmented import augmented_rows, check_augmented
from pipeline.tasks.labelled_data import TaskData, read_task
from pipeline.tasks.tokenised import as_datasets


def main(stage: Stage) -> dict[str, Any]:
    data = read_task(stage.recipe.task, stage.inputs.task)
    datasets = as_datasets(data)
    write = partial(write_all, stage, features=datasets["train"].features, text_columns=data.text_columns)
    shards = [partial(reused_rows, stage, data)] if stage.inputs.augmented else new_shards(stage, data, datasets)
    if stage.inputs.augmented and (idle := without_effect(stage.recipe.augment_data)):
        stage.say(f"augment_data.reuse: the dataset stays as it is, so {', '.join(idle)} of the recipe has no effect")
    if stage.recipe.augment_data.same_answer:
        write(shards, stage.work / "everything")
        shards = with_same_answer(stage, shards, stage.work / "everything")
    write(shards, stage.work)
    if not stage.is_main:
        return {}
    hidden = shutil.ignore_patterns(".*")
    shutil.copytree(stage.work / "data", stage.output / "data", ignore=hidden, copy_function=link_or_copy)
    found = read_counts(stage.work)
    write_card(stage.output, found, text_columns=data.text_columns, provenance=made_from(stage, data))
    counts = found.metrics()
    warn_of_no_variant(stage, found)
    dropped = ", ".join(f"{count:,} {why.replace('_', ' ')}" for why, count in found.dropped.items() if count)
    stage.say(f"{found.originals:,} originals, {found.variants:,} variants; dropped: {dropped or 'none'}")
    if stage.recipe.augment_data.same_answer:
        share = found.variants / max(1, found.variants + found.dropped["another_answer"])
        counts["same_answer_share"] = share
        stage.say(
            f"the teacher gives {share:.1%} of the variants the same answer as their original; only these are kept"
        )
    return counts


def without_effect(settings: AugmentData) -> list[str]:
    """The settings of a recipe that a reused dataset leaves without effect, where they are not at their defaults."""
    names = ("variants", "replace", "protect_entities")
    return [f"augment_data.{name}" for name in names if getattr(settings, name) != getattr(AugmentData(), name)]


def warn_of_no_variant(stage: Stage, found: Statistics) -> None:
    """Say why there is none, where some were wanted."""
    folder = stage.upstream.get("propose_candidates")
    if folder is None:
        return
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    why = why_no_variant(
        found,
        wanted=stage.recipe.augment_data.variants,
        texts_with_candidates=len(read_candidates(folder)),
        languages=manifest["metrics"]["languages"],
    )
    if why:
        stage.say(f"warning: {why}")


def write_all(stage: Stage, shards: Sequence[Shard], folder: Path, **settings: Any) -> None:
    """Write the shards, those of this process by this process."""
    stage.work_through(
        lambda number: write_shard(shards[number], folder, number=number, count=len(shards), **settings),
        results=[*shard_paths(folder, len(shards)), *count_paths(folder, len(shards))],
        sizes=[1] * len(shards),
        unit="shard",
    )


def reused_rows(stage: Stage, data: TaskData, dropped: Counter[str]) -> Iterator[Row]:
    """The rows of a dataset that exists."""
    check_augmented(stage.inputs.augmented, data)
    return augmented_rows(stage.inputs.augmented, data, dropped=dropped)


def new_shards(stage: Stage, data: TaskData, datasets: DatasetDict) -> list[Shard]:
    """The task's rows and their variants."""
    settings, columns = stage.recipe.augment_data, data.text_columns
    splits = [split for split in ("train", "unlabelled") if split in datasets]
    rows = concatenate_datasets([datasets[split] for split in splits])
    rows = rows.remove_columns("id").add_column("id", list(range(len(rows))))
    texts = (example.texts for split in splits for example in data.splits[split])
    occurrences = count_occurrences(texts, columns=len(columns))
    candidates = read_candidates(stage.upstream["propose_candidates"]) if settings.variants else None
    originals = {example.texts for examples in data.splits.values() for example in examples}
    kind, label = data.kind, data.label_column

    def augmented(first: int, dropped: Counter[str]) -> Iterable[Row]:
        numbers = range(first, min(first + SHARD_EXAMPLES, len(rows)))
        part = rows.select(numbers)
        found = augment_rows(
            (dict(row) for row in part),
            occurrences[numbers].tolist(),
            text_columns=columns,
            candidates=candidates.of(text for column in columns for text in part[column]) if candidates else {},
            variants=settings.variants,
            p=stage.recipe.replace_probability,
            seed=stage.recipe.seed,
            originals=originals,
            dropped=dropped,
            protected=lambda row, column: kind.protected(row, column, label, settings),
        )
        return (kind.realign(row, columns, label) for row in found)

    return [partial(augmented, first) for first in range(0, len(rows), SHARD_EXAMPLES)]


def with_same_answer(stage: Stage, shards: Sequence[Shard], everything: Path) -> list[Shard]:
    """The shards without the variants that the teacher answers otherwise than their original.

    Args: everything: where the rows of the shards are written.
    """
    texts = augmented_texts(stage, everything)
    answers = teacher_logits(stage, texts).argmax(axis=1)
    kept = answers == np.repeat(answers[texts.groups.first], texts.groups.count)
    rows = [pq.read_metadata(path).num_rows for path in shard_paths(everything, len(shards))]

    def filtered(shard: Shard, kept: np.ndarray, dropped: Counter[str]) -> Iterator[Row]:
        yield from compress(shard(dropped), kept)
        dropped["another_answer"] = int((~kept).sum())

    bounds = pairwise(accumulate(rows, initial=0))
    return [partial(filtered, shard, kept[start:end]) for shard, (start, end) in zip(shards, bounds, strict=True)]


def made_from(stage: Stage, data: TaskData) -> dict[str, Any]:
    """What the dataset stands on, for its card; nothing that differs from run to run."""
    recipe, upstream = stage.recipe, {}
    for name, folder in stage.upstream.items():
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        upstream[name] = {key: manifest[key] for key in ("fingerprint", "version", "settings", "inputs", "packages")}
        upstream[name]["upstream"] = {up: found["fingerprint"] for up, found in manifest["upstream"].items()}
    return {
        "task": data.name,
        "fingerprint": stage.spec.artifact.fingerprint,
        "version": stage.spec.version,
        "settings": stage.spec.settings,
        "files": {role: f"sha256:{checksum(path)}" for role, path in stage.spec.files.items()},
        "packages": {name: importlib.metadata.version(name) for name in ("datasets", "nltk", "pyarrow")},
        "backbone": recipe.backbone,
        "vectors": recipe.propose_candidates.vectors,
        "reuse": recipe.augment_data.reuse,
        "upstream": upstream,
    }


if __name__ == "__main__":
    run_stage("augment_data", main)
