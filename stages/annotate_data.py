"""Annotate the augmented dataset with the teacher's logits, once for all epochs of the prediction stage.

    accelerate launch -m stages.annotate_data --recipe recipes/rotten_tomatoes.yaml

Reads:  the task's teacher (finetune_teacher), the augmented dataset (augment_data); another teacher, whose logits are
        written in its place (`annotate_data.teacher`).
Writes: logits.npy, (U, C) float32, in the order of the dataset: C outputs of each of U units. A unit is a sequence, of
        which a row may have several, or where each token has an answer, a token. An original with soft labels has
        these, as logits.

A fixed shard of rows is a unit of work, as in propose_candidates.
"""

from typing import Any

import numpy as np

from pipeline.distill.augmented_dataset import (
    augmented_texts,
    in_students_vocabulary,
    other_teacher_logits,
    teacher_logits,
    with_soft_labels,
)
from pipeline.launch.stage_runner import run_stage
from pipeline.runtime.stage import Stage


def main(stage: Stage) -> dict[str, Any]:
    data = augmented_texts(stage)
    if data.texts.kind.per_token:  # the student's tokens get the answers
        data = in_students_vocabulary(stage, data)
    logits_of = other_teacher_logits if stage.inputs.other_teacher else teacher_logits
    logits = logits_of(stage, data)
    if stage.recipe.task.soft_labels:
        logits = with_soft_labels(stage, data.texts, logits)
    if stage.is_main:
        np.save(stage.output / "logits.npy", logits, allow_pickle=False)
    return {"rows": len(data.texts)}


if __name__ == "__main__":
    run_stage("annotate_data", main)
