"""Make the student ready to ship: a folder for `from_pretrained`, with ONNX and int8 ONNX in it.

    accelerate launch -m stages.export_student --recipe recipes/rotten_tomatoes.yaml

Reads:  the student (distill_predictions) and how it was measured (evaluate_student), the task's dev and test rows; the
        teacher (finetune_teacher), whose latency is measured beside the exported files'.
Writes: the student with its tokenizer, onnx/model.onnx (float32) and onnx/model_int8.onnx (also as
        onnx/model_quantized.onnx, the name that Transformers.js looks for); README.md, its model card.

Each form is scored on the dev and test rows. One that loses more than `largest_loss` on dev is an error, and nothing is
published; but a general student's int8 file gets a second chance with its words' embeddings in 8 bits.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from pipeline.evaluate.exported_forms import (
    ExportedForms,
    add_tokenizer_and_onnx,
    checked_forms,
    measure_forms,
    shipped_beside_teacher,
)
from pipeline.evaluate.general import INPUTS, held_out_metric, load_general, measure_general_forms
from pipeline.evaluate.scoring import labelled_splits, score
from pipeline.heads import head_of
from pipeline.launch.stage_runner import run_stage
from pipeline.models.loading import distilled_from, load_tokenizer, save_model
from pipeline.models.saved_model import add_to_config
from pipeline.plan.run_folder import TEACHER_STATISTICS
from pipeline.report.model_card import CARD, model_card
from pipeline.runtime.stage import Stage


def main(stage: Stage) -> dict[str, Any]:
    if not stage.recipe.has_task:
        return export_general(stage)
    settings, source = stage.recipe.export_student, stage.upstream["distill_predictions"]
    task, splits = labelled_splits(stage, source, "dev", "test")
    before, head = splits["dev"], head_of(task.kind)
    load = partial(head.load, label_names=task.label_names, new_head=False)
    student = load(source, attention="eager").eval()
    if stage.is_main:
        head.save(student, stage.output, tokenizer_of=source)
        add_tokenizer_and_onnx(
            student,
            stage.output,
            tokenizer_of=source,
            inputs=before.texts.model_inputs(),
            max_length=stage.recipe.task.max_length,
            embedding_bits=settings.embedding_bits,
        )
    stage.accelerator.wait_for_everyone()

    tokenizer, exported = load_tokenizer(stage.output), load(stage.output, attention="eager").eval()
    after, test = (splits[name].tokenised_by(tokenizer) for name in ("dev", "test"))
    teacher = load(stage.upstream["finetune_teacher"], attention="sdpa").eval()
    models = {"teacher": teacher, "student": student, "exported": exported}
    measure = partial(measure_forms, stage, stage.output, **models, before=before, after=after, test=test)
    measured = checked_forms(stage, stage.output, task.metric, measure)
    if not stage.is_main:
        return {}
    add_to_config(stage.output, task.kind.student_config(task.splits, after.texts.task))
    return figures_with_card(stage, measured, task.metric, partial(score, task))


def export_general(stage: Stage) -> dict[str, Any]:
    """The same of a general student, on held-out text."""
    source = stage.upstream["distill_general"] / "student"
    student = load_general(stage, source, attention="eager")
    if stage.is_main:
        save_model(student, stage.output, tokenizer_of=source)
        positions = student.config.max_position_embeddings
        add_tokenizer_and_onnx(
            student.cpu(),
            stage.output,
            tokenizer_of=source,
            max_length=positions,
            inputs=INPUTS,
            embedding_bits=stage.recipe.export_student.embedding_bits,
        )
        student.to(stage.accelerator.device)
    stage.accelerator.wait_for_everyone()
    exported = load_general(stage, stage.output, attention="eager")
    metric = held_out_metric(stage, stage.output)
    of_teacher = np.load(stage.upstream["evaluate_student"] / TEACHER_STATISTICS, allow_pickle=False)
    score_of = partial(metric.score, teacher=of_teacher)
    taught_by = distilled_from(stage.upstream["pretrain_teacher"], stage.recipe.distill_general)
    models = {"teacher": load_general(stage, taught_by, attention="sdpa"), "student": student, "exported": exported}
    measure = partial(measure_general_forms, stage, stage.output, metric, score_of, **models)
    measured = checked_forms(stage, stage.output, metric.name, measure)
    if not stage.is_main:
        return {}
    return figures_with_card(stage, measured, metric.name, score_of)


def figures_with_card(
    stage: Stage, forms: ExportedForms, metric: str, score_of: Callable[[np.ndarray], float]
) -> dict[str, Any]:
    """What stage.json says of the forms; writes the model card, beside what it describes."""
    metrics = {
        "metric": metric,
        "score_before": forms.student_score,
        "forms": {name: vars(form) for name, form in forms.forms.items()},
        "shipped": shipped_beside_teacher(stage, forms, score_of, stage.output),
    }
    card = model_card(stage.recipe, stage.inputs, evaluation=stage.upstream["evaluate_student"], exported=metrics)
    (stage.output / CARD).write_text(card, encoding="utf-8")
    return metrics


if __name__ == "__main__":
    run_stage("export_student", main)
