"""Task distillation, second step: the teacher's predictions (TinyBERT, section 3.3, eq. 10).

    accelerate launch -m stages.distill_predictions --recipe recipes/rotten_tomatoes.yaml

Reads:  the student (distill_layers), the augmented dataset (augment_data), the teacher's logits on it (annotate_data),
        the task's dev rows.
Writes: the task's student, the epoch with the best dev score; any program loads it with `from_pretrained(folder)`.

The teacher is not needed any more. A regression learns the teacher's score, not the label.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.batches import GlobalBatch, Rows
from pipeline.labelled import dev_scorer, labelled_splits
from pipeline.losses import prediction_loss, regression_loss
from pipeline.models import load_classifier, save_model
from pipeline.pace import training_flops
from pipeline.stage import Stage, run_stage
from pipeline.task_distillation import augmented_batches, augmented_texts
from pipeline.training import Job, train


def main(stage: Stage) -> dict[str, Any]:
    settings, source = stage.recipe.distill_predictions, stage.upstream["distill_layers"] / "student"
    task, splits = labelled_splits(stage, source, "dev")
    data = augmented_texts(stage)
    logits = np.load(stage.upstream["annotate_data"] / "logits.npy", mmap_mode="r", allow_pickle=False)
    student = load_classifier(
        source, label_names=task.label_names, new_head=False, hidden_dropout=stage.recipe.student.hidden_dropout
    ).to(stage.accelerator.device)

    def collate(rows: Rows, epoch: int) -> dict[str, Tensor]:
        return data.texts.collate(rows) | {"teacher_logits": torch.from_numpy(logits[rows])}

    def loss(model: nn.Module, inputs: dict[str, Tensor], batch: GlobalBatch) -> dict[str, Tensor]:
        target = inputs["teacher_logits"]
        ours = model(**{name: tensor for name, tensor in inputs.items() if name != "teacher_logits"}).logits
        if task.label_names:
            gap = prediction_loss(ours, target, temperature=settings.temperature, examples=batch.examples)
        else:
            gap = regression_loss(ours, target, examples=batch.examples)
        return {"prediction": gap}

    score = dev_scorer(stage, task, splits["dev"])
    batches = augmented_batches(stage, data, settings)
    job = Job(
        model=student,
        batches=batches,
        collate=collate,
        loss=loss,
        settings=settings,
        score=score,
        flops=training_flops(student),
    )
    progress = train(job, stage)
    if stage.is_main:
        save_model(student, stage.output, tokenizer_of=source)
    return {"dev_score": progress.best_score, "dev_scores": progress.scores, "curve": progress.curve}


if __name__ == "__main__":
    run_stage("distill_predictions", main)
