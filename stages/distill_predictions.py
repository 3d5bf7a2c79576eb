"""Task distillation, second step: the teacher's predictions (TinyBERT, section 3.3, eq. 10).

    accelerate launch -m stages.distill_predictions --recipe recipes/rotten_tomatoes.yaml

Reads:  the student (distill_layers), the augmented dataset (augment_data), the teacher's logits on it (annotate_data),
        the task's dev rows; the teacher and the projections where layers are copied here too.
Writes: the task's student, the epoch with the best dev score; any program loads it with `from_pretrained(folder)`.

A regression learns the teacher's score, not the label. Labels and layers can be objectives beside the predictions;
without layers the teacher is not needed any more.
"""

from typing import Any

import numpy as np
from torch import Tensor, nn

from pipeline.config.objectives import chosen
from pipeline.distill.augmented_dataset import augmented_batches, augmented_texts
from pipeline.distill.layers import beside_teacher, freeze_unreached
from pipeline.evaluate.inference import Outputs
from pipeline.evaluate.scoring import dev_scorer, labelled_splits
from pipeline.launch.stage_runner import run_stage
from pipeline.models.collate import Inputs, Rows
from pipeline.models.trace import Trace
from pipeline.runtime.stage import Stage
from pipeline.training.batches import GlobalBatch
from pipeline.training.loop import Job, train
from pipeline.training.throughput import training_flops


def main(stage: Stage) -> dict[str, Any]:
    settings, source = stage.recipe.distill_predictions, stage.upstream["distill_layers"] / "student"
    task, splits = labelled_splits(stage, source, "dev")
    data = augmented_texts(stage, labels=bool(settings.label))
    logits = np.load(stage.upstream["annotate_data"] / "logits.npy", mmap_mode="r", allow_pickle=False)
    kind = data.texts.kind
    student = kind.load(
        source, label_names=task.label_names, new_head=False, hidden_dropout=stage.recipe.student.hidden_dropout
    ).to(stage.accelerator.device)
    outputs, scale = Outputs(data.texts, logits), kind.scale(logits)
    if scale and stage.recipe.student.copy_from == "task_teacher":
        scale.take_out_of(student)  # the teacher's head gives scores, a new one begins around 0

    def collate(rows: Rows, epoch: int) -> Inputs:
        inputs = data.texts.collate_with_targets(rows) | {"teacher": outputs.collate(rows)}
        return scale.standardised(inputs) if scale else inputs

    def of_outputs(ours: Tensor, inputs: Inputs, batch: GlobalBatch) -> dict[str, Tensor]:
        weight, found = data.texts.weight(batch), {}
        if settings.prediction:
            found["prediction"] = settings.prediction * kind.distilled(
                ours, inputs["teacher"], inputs, weight, settings
            )
        if settings.label and kind.supervised:
            terms = kind.supervised(ours, inputs, weight)
            found |= {name: settings.label * term for name, term in terms.items()}
        return found

    def alone(model: nn.Module, inputs: Inputs, batch: GlobalBatch) -> dict[str, Tensor]:
        return of_outputs(kind.outputs(model, inputs), inputs, batch)

    def beside_layers(seen: Trace, _: Trace, inputs: Inputs, batch: GlobalBatch) -> dict[str, Tensor]:
        return of_outputs(kind.outputs_of(seen.output), inputs, batch)

    model, loss = student, alone
    if chosen(settings):
        model, loss, _ = beside_teacher(stage, student, data, settings, beside_layers)
        model.load_projections(stage.upstream["distill_layers"])
    score_of = dev_scorer(stage, task, splits["dev"])
    batches = augmented_batches(stage, data, settings)
    job = Job(
        model=model,
        batches=batches,
        collate=collate,
        loss=loss,
        settings=settings,
        score=lambda _: score_of(student),
        flops=training_flops(student),
    )
    freeze_unreached(job, stage)
    progress = train(job, stage)
    if scale:
        scale.put_into(student)
    if stage.is_main:
        kind.save(student, stage.output, tokenizer_of=source)
    return {"dev_score": progress.best_score, "dev_scores": progress.scores, "curve": progress.curve}


if __name__ == "__main__":
    run_stage("distill_predictions", main)
