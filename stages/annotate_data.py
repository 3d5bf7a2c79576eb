"""Annotate the augmented dataset with the teacher's logits, once for all epochs of the prediction stage.

    accelerate launch -m stages.annotate_data --recipe recipes/rotten_tomatoes.yaml

Reads:  the task's teacher (finetune_teacher), the augmented dataset (augment_data).
Writes: logits.npy, (rows, classes) float32, in the order of the dataset; what is several sequences, or has an answer a
        token, has so many rows.

A fixed shard of rows is a unit of work, as in propose_candidates.
"""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import Interrupted
from pipeline.prediction import predict
from pipeline.stage import Stage, run_stage
from pipeline.task_distillation import augmented_texts
from pipeline.traces import freeze

SHARD = 8192  # rows


def main(stage: Stage) -> dict[str, Any]:
    data = augmented_texts(stage)
    teacher = data.texts.kind.load(stage.upstream["finetune_teacher"], label_names=data.label_names, new_head=False)
    teacher = freeze(teacher, precision=stage.precision).to(stage.accelerator.device)
    rows = np.arange(len(data.texts))
    parts = [rows[start : start + SHARD] for start in range(0, len(rows), SHARD)]
    paths = [stage.work / f"logits-{number:05d}.npy" for number in range(len(parts))]
    tokens = stage.recipe.annotate_data.decode_tokens
    with stage.bar(total=len(rows), unit="text") as bar:
        for number in stage.shares(len(parts)):
            if not paths[number].exists():
                logits = predict(teacher, data.texts, stage, rows=parts[number], tokens=tokens)
                _save(logits, paths[number])
            bar.update(len(parts[number]) * stage.accelerator.num_processes)
            if stage.stop_asked_here():
                raise Interrupted(
                    f"{stage.name} stopped after shard {number} of {len(parts)}; the same command goes on"
                )
    stage.accelerator.wait_for_everyone()
    if stage.is_main:
        _save(np.concatenate([np.load(path, allow_pickle=False) for path in paths]), stage.output / "logits.npy")
    return {"rows": len(rows)}


def _save(array: np.ndarray, path: Path) -> None:
    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    temporary.replace(path)


if __name__ == "__main__":
    run_stage("annotate_data", main)
