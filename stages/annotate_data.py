"""Annotate the augmented dataset with the teacher's logits, once for all epochs of the prediction stage.

    accelerate launch -m stages.annotate_data --recipe recipes/rotten_tomatoes.yaml

Reads:  the task's teacher (finetune_teacher), the augmented dataset (augment_data).
Writes: logits.npy, (rows, classes) float32, in the order of the dataset; what is several sequences, or has an answer a
        token, has so many rows.

A fixed shard of rows is a unit of work, as in propose_candidates.
"""

from typing import Any

import numpy as np

from pipeline.distill.augmented_dataset import augmented_texts, teacher_logits
from pipeline.launch.stage_runner import run_stage
from pipeline.runtime.stage import Stage


def main(stage: Stage) -> dict[str, Any]:
    data = augmented_texts(stage)
    logits = teacher_logits(stage, data)
    if stage.is_main:
        np.save(stage.output / "logits.npy", logits, allow_pickle=False)
    return {"rows": len(data.texts)}


if __name__ == "__main__":
    run_stage("annotate_data", main)
