"""Augment the data: variants of each text, some words replaced by candidates (TinyBERT, Algorithm 1).

    accelerate launch -m stages.augment_data --recipe recipes/rotten_tomatoes.yaml

Reads:  the task's training and unlabelled rows, the candidates (propose_candidates); or a dataset that exists.
Writes: data/train-*.parquet and README.md, its card: a dataset that `datasets.load_dataset(folder)` and pandas read.
        Columns: the task's own, source_id, variant (0: the original), replaced.

A pure function of the seed, the rows and the candidates: it costs little, so one process does it. Where variants must
keep the teacher's answer it costs the teacher too, on all of them and in every process.
"""

import importlib.metadata
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DatasetDict, concatenate_datasets

from data_augment.candidates_folder import read_candidates
from data_augment.card import Statistics
from data_augment.dataset import CARD_FILE, write_dataset
from data_augment.samples import Row, augment_rows
from pipeline.artifacts import MANIFEST
from pipeline.augmented import augmented_rows, check_augmented
from pipeline.files import checksum
from pipeline.kinds import KINDS
from pipeline.stage import Stage, run_stage
from pipeline.task_distillation import augmented_texts, teacher_logits
from pipeline.tasks import TaskData, as_datasets, read_task


def main(stage: Stage) -> dict[str, Any]:
    data = read_task(stage.recipe.task, stage.inputs.task)
    datasets = as_datasets(data)
    kept = same_answers(stage, data, datasets) if stage.recipe.augment_data.same_answer else None
    if not stage.is_main:
        return {}
    dropped: Counter[str] = Counter()
    if stage.inputs.augmented:
        check_augmented(stage.inputs.augmented, data)
        rows = augmented_rows(stage.inputs.augmented, data, dropped=dropped)
    else:
        rows = new_rows(stage, data, datasets, dropped)
    if kept is not None:
        rows = compress(rows, kept)
        dropped["another_answer"] = int((~kept).sum())
    statistics = write(stage, data, datasets, rows, folder=stage.output, dropped=dropped)
    counts = {"originals": statistics.originals, "variants": statistics.variants, "dropped": dict(dropped)}
    stage.say(f"{statistics.originals} originals, {statistics.variants} variants; dropped: {dict(dropped) or 'none'}")
    if kept is not None:
        counts["same_answer_share"] = statistics.variants / max(1, statistics.variants + dropped["another_answer"])
        stage.say(
            f"the teacher's answer stays the same in {counts['same_answer_share']:.1%} of the variants; these stay"
        )
    return counts


def new_rows(stage: Stage, data: TaskData, datasets: DatasetDict, dropped: Counter[str]) -> Iterator[Row]:
    """The task's rows and their variants."""
    settings = stage.recipe.augment_data
    rows = concatenate_datasets([datasets[split] for split in ("train", "unlabelled") if split in datasets])
    rows = rows.remove_columns("id").add_column("id", list(range(len(rows))))
    kind, label = KINDS[data.kind], data.label_column
    protected, realigned = kind.protected, kind.realigned
    augmented = augment_rows(
        (dict(row) for row in rows),
        text_columns=data.text_columns,
        candidates=read_candidates(stage.upstream["propose_candidates"]) if settings.variants else {},
        variants=settings.variants,
        p=settings.replace,
        seed=stage.recipe.seed,
        originals={example.texts for examples in data.splits.values() for example in examples},
        dropped=dropped,
        protected=(lambda row, column: protected(row, column, label, settings)) if protected else None,
    )
    return (realigned(row, data.text_columns, label) for row in augmented) if realigned else augmented


def same_answers(stage: Stage, data: TaskData, datasets: DatasetDict) -> np.ndarray:
    """Which of the new rows, (rows,) bool, the teacher answers as it answers their original; of the main process."""
    everything = stage.work / "everything"
    if stage.is_main and not (everything / CARD_FILE).exists():
        write(stage, data, datasets, new_rows(stage, data, datasets, Counter()), folder=everything, dropped=Counter())
    stage.accelerator.wait_for_everyone()
    texts = augmented_texts(stage, everything)
    answers = teacher_logits(stage, texts).argmax(axis=1)
    return answers == np.repeat(answers[texts.groups.first], texts.groups.count) if stage.is_main else answers


def write(
    stage: Stage, data: TaskData, datasets: DatasetDict, rows: Iterable[Row], *, folder: Path, dropped: Counter[str]
) -> Statistics:
    """The dataset with its card."""
    return write_dataset(
        rows,
        folder,
        features=datasets["train"].features,
        text_columns=data.text_columns,
        provenance=made_from(stage, data),
        dropped=dropped,
    )


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
