"""Task distillation, second step: the teacher's predictions (TinyBERT, section 3.2, eq. 10).

    accelerate launch -m stages.distill_predictions --recipe recipes/rotten_tomatoes.yaml

Reads:  the student (distill_layers), the augmented dataset (augment_data), the teacher's logits on it (annotate_data),
        the task's dev rows; the teacher and the projections where layers are copied here too.
Writes: the task's student, the epoch with the best dev score; any program loads it with `from_pretrained(folder)`.

The student learns with its words' embeddings in the 4 bits that they ship in: the export loses nothing there.
A regression learns the teacher's score, not the label. Labels and layers can be objectives beside the predictions;
without layers the teacher is not needed any more.
"""

from typing import Any

import numpy as np
from torch import Tensor, nn
from transformers import PreTrainedModel

from pipeline.config.objectives import chosen
from pipeline.distill.augmented_dataset import AugmentedTexts, augmented_batches, augmented_texts, load_task_teacher
from pipeline.distill.layers import (
    Loss,
    ProjectedStudent,
    Teacher,
    both_pack,
    layer_loss,
    mapped_layers,
)
from pipeline.distill.objectives import Terms
from pipeline.distill.start import fit_on_logits, head_is_copied, started_fitted
from pipeline.evaluate.inference import StoredOutputs, predict_together
from pipeline.evaluate.scoring import dev_scorer, labelled_splits, set_thresholds
from pipeline.heads import head_of
from pipeline.heads.base import total_weight
from pipeline.launch.stage_runner import run_stage
from pipeline.models.attention import can_pack
from pipeline.models.collate import Batch, Rows
from pipeline.models.fake_quantisation import fake_quantise_embeddings
from pipeline.models.seen_pieces import seen_pieces
from pipeline.models.trace import Trace, Wanted
from pipeline.runtime.stage import Stage
from pipeline.training.batches import GlobalBatch
from pipeline.training.loop import Job, train
from pipeline.training.throughput import training_flops


def main(stage: Stage) -> dict[str, Any]:
    settings, source = stage.recipe.distill_predictions, stage.upstream["distill_layers"] / "student"
    task, splits = labelled_splits(stage, source, "dev")
    data = augmented_texts(stage, labels=bool(settings.label), tokenizer=source)
    logits = np.load(stage.upstream["annotate_data"] / "logits.npy", mmap_mode="r", allow_pickle=False)
    head, dropout = head_of(task.kind), stage.recipe.student.hidden_dropout
    student = head.load(source, label_names=task.label_names, new_head=False, hidden_dropout=dropout)
    student = student.to(stage.accelerator.device)
    stored, scale = StoredOutputs(data.texts, logits), head.scale(logits)
    if scale and head_is_copied(stage, student):
        scale.unfold_from(student)  # the teacher's head gives scores, a new one starts around 0
    in_4_bits = stage.recipe.export_student.embedding_bits == 4 and fake_quantise_embeddings(student)
    model, loss, packed = model_and_loss(stage, data, student)

    def collate(rows: Rows, epoch: int) -> Batch:
        batch = head.collate(data.texts, rows, packed=packed).with_targets(teacher_outputs=stored.collate(rows))
        return scale.standardise(batch) if scale else batch

    if started_fitted(stage):
        fit_on_logits(stage, data, student, collate)
    dev = splits["dev"]
    score_of = dev_scorer(stage, dev)
    job = Job(
        model=model,
        batches=augmented_batches(stage, data, settings, packed=packed),
        collate=collate,
        loss=loss,
        settings=settings,
        score=lambda _: score_of(student),
        flops=training_flops(student),
    )
    with seen_pieces(student, data.texts.piece_counts(), in_4_bits=in_4_bits):
        progress = train(job, stage)
    if scale:
        scale.fold_into(student)
    if task.kind.has_thresholds:
        set_thresholds(student, predict_together(student, dev.texts, stage), dev)
    if stage.is_main:
        head.save(student, stage.output, tokenizer_of=source)
    return {"dev_score": progress.best_score, "dev_scores": progress.scores, "curve": progress.curve}


def model_and_loss(stage: Stage, data: AugmentedTexts, student: PreTrainedModel) -> tuple[nn.Module, Loss, bool]:
    """What is trained, on which loss, and whether it can take packed batches."""
    settings, head = stage.recipe.distill_predictions, head_of(data.texts.kind)

    def terms(outputs: Tensor, batch: Batch, global_batch: GlobalBatch) -> Terms:
        weight, found = total_weight(data.texts, global_batch.micro_batches), {}
        if settings.prediction:
            theirs = batch.targets["teacher_outputs"]
            gap = head.distillation_loss(outputs, theirs, batch, weight=weight, settings=settings)
            found["prediction"] = settings.prediction * gap
        if settings.label:
            supervised = head.supervised_loss(outputs, batch, weight=weight)
            found |= {name: settings.label * term for name, term in supervised.items()}
        return found

    def predictions_alone(model: nn.Module, batch: Batch, global_batch: GlobalBatch) -> Terms:
        return terms(head.outputs(model, batch), batch, global_batch)

    def beside_layers(found: Trace, _: Trace, batch: Batch, global_batch: GlobalBatch) -> Terms:
        return terms(head.read(found.output), batch, global_batch)

    if not chosen(settings):
        return student, predictions_alone, can_pack(student)
    teacher = Teacher.of(load_task_teacher(stage, data), stage)
    model = ProjectedStudent(student, teacher_width=teacher.encoder.config.hidden_size)
    model.load_projections(stage.upstream["distill_layers"])
    layers = mapped_layers(stage, settings, teacher=teacher, student=model)
    loss = layer_loss(teacher, layers, settings, more=beside_layers, more_wants=Wanted(output=True))
    return model, loss, both_pack(teacher, model)


if __name__ == "__main__":
    run_stage("distill_predictions", main)
