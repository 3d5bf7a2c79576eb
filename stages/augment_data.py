"""Augment the data: variants of each text, some words replaced by candidates (TinyBERT, Algorithm 1).

    accelerate launch -m stages.augment_data --recipe recipes/rotten_tomatoes.yaml

Reads:  the task's training and unlabelled rows, the candidates (propose_candidates).
Writes: data/train-*.parquet and README.md, its card: a dataset that `datasets.load_dataset(folder)` and pandas read.
        Columns: the task's own, source_id, variant (0: the original), replaced.

A pure function of the seed, the rows and the candidates: it costs little, so one process does it.
"""

from collections import Counter
from typing import Any

from datasets import concatenate_datasets

from data_augment.candidates_folder import read_candidates
from data_augment.dataset import write_dataset
from data_augment.samples import augment_rows
from pipeline.kinds import KINDS
from pipeline.stage import Stage, run_stage
from pipeline.tasks import as_datasets, read_task


def main(stage: Stage) -> dict[str, Any]:
    if not stage.is_main:
        return {}
    settings = stage.recipe.augment_data
    data = read_task(stage.recipe.task, stage.inputs.task)
    datasets = as_datasets(data)
    rows = concatenate_datasets([datasets[split] for split in ("train", "unlabelled") if split in datasets])
    rows = rows.remove_columns("id").add_column("id", list(range(len(rows))))
    originals = {example.texts for examples in data.splits.values() for example in examples}
    candidates = read_candidates(stage.upstream["propose_candidates"]) if settings.variants else {}
    dropped: Counter[str] = Counter()
    kind, label = KINDS[data.kind], data.label_column
    protected, realigned = kind.protected, kind.realigned
    augmented = augment_rows(
        (dict(row) for row in rows),
        text_columns=data.text_columns,
        candidates=candidates,
        variants=settings.variants,
        p=settings.replace,
        seed=stage.recipe.seed,
        originals=originals,
        dropped=dropped,
        protected=(lambda row, column: protected(row, column, label, settings)) if protected else None,
    )
    statistics = write_dataset(
        (realigned(row, data.text_columns, label) for row in augmented) if realigned else augmented,
        stage.output,
        features=rows.features,
        text_columns=data.text_columns,
        provenance={"task": data.name, "fingerprint": stage.spec.artifact.fingerprint, **stage.spec.settings},
        dropped=dropped,
    )
    counts = {"originals": statistics.originals, "variants": statistics.variants, "dropped": dict(dropped)}
    stage.say(f"{statistics.originals} originals, {statistics.variants} variants; dropped: {dict(dropped) or 'none'}")
    return counts


if __name__ == "__main__":
    run_stage("augment_data", main)
