"""Make the student ready to ship: a folder for `from_pretrained`, with ONNX and int8 ONNX in it.

    accelerate launch -m stages.export_student --recipe recipes/rotten_tomatoes.yaml

Reads:  the student (distill_predictions) and how it was measured (evaluate_student), the task's dev rows; to cut its
        vocabulary the augmented dataset (augment_data), whose texts it was trained on, and the teacher's tokenizer
        (finetune_teacher).
Writes: the student with its tokenizer, onnx/model.onnx (float32) and onnx/model_int8.onnx; README.md, its model card.

Each form is scored on the dev rows. One that loses more than `largest_loss` is an error, and nothing is published.
"""

import copy
import time
from functools import partial
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from pipeline.distill.augmented_dataset import augmented_texts
from pipeline.errors import WorkFailed
from pipeline.evaluate.comparison import latencies_ms
from pipeline.evaluate.inference import predict_together
from pipeline.evaluate.scoring import LabelledSplit, answers, judged, labelled_splits, score
from pipeline.export.onnx import OnnxModel, export_onnx, quantise
from pipeline.export.onnx_session import FLOAT32, INT8
from pipeline.export.vocabulary import kept_pieces, save_tokenizer, trim_embeddings
from pipeline.launch.stage_runner import run_stage
from pipeline.models.loading import load_tokenizer, parameter_count
from pipeline.models.saved_model import TOKENIZER_FILES
from pipeline.report.model_card import CARD, model_card
from pipeline.runtime.stage import Stage
from pipeline.tasks import kind_of
from pipeline.tasks.labelled_data import TaskData

WEIGHTS = "model.safetensors"
TIMING_ROUNDS = 50
ROUNDING = 1e-3  # between PyTorch and ONNX in float32; relative where outputs are larger than 1


def main(stage: Stage) -> dict[str, Any]:
    settings, source = stage.recipe.export_student, stage.upstream["distill_predictions"]
    task, splits = labelled_splits(stage, source, "dev")
    before = splits["dev"]
    load = partial(kind_of(stage.recipe.task).load, label_names=task.label_names, new_head=False, attention="eager")
    student = load(source).eval()
    student.config.update(kind_of(stage.recipe.task).config(task.splits))
    inputs = list(before.texts.collate(np.array([0])))
    kept = kept_ids(stage) if settings.min_count and stage.is_main else None
    if stage.is_main:
        save(stage, student, kept, inputs=inputs)
    stage.accelerator.wait_for_everyone()

    _, splits = labelled_splits(stage, stage.output, "dev")
    after = splits["dev"]
    exported = load(stage.output).eval()
    student, exported = (model.to(stage.accelerator.device) for model in (student, exported))
    base = predict_together(student, before.texts, stage)
    models: dict[str, Any] = {WEIGHTS: exported}
    models |= {name: OnnxModel(stage.output / name, exported.config) for name in (FLOAT32, INT8)}
    found, rates = {}, {}
    for name, model in models.items():
        begin = time.perf_counter()
        found[name] = predict_together(model, after.texts, stage)
        rates[name] = len(after.dataset) / (time.perf_counter() - begin)
    if not stage.is_main:
        return {}
    base_score = score_of(task, base, before)
    forms = {
        name: {
            "score": score_of(task, outputs, after),
            "largest_difference": largest_difference(outputs, base if name == WEIGHTS else found[WEIGHTS]),
            "bytes": (stage.output / name).stat().st_size,
            "parameters": parameter_count(exported.parameters()),
            "latency_ms": latencies_ms([models[name]], rounds=TIMING_ROUNDS, inputs=inputs)[0],  # alone: threads spin
            "examples_per_s": rates[name],
        }
        for name, outputs in found.items()
    }
    for name, form in forms.items():
        stage.say(
            f"{name}: {form['bytes'] / 1e6:.2f} MB, {task.metric} on dev {form['score']:.4f} (the student's:"
            f" {base_score:.4f}), outputs differ by {form['largest_difference']:.2g} at most,"
            f" {form['latency_ms']:.2f} ms a text of 32 tokens"
        )
    check(forms, base_score=base_score, largest_loss=settings.largest_loss, scale=float(np.abs(found[WEIGHTS]).max()))
    pieces = {"before": student.config.vocab_size, "after": exported.config.vocab_size}
    pieces["dev_texts_changed"] = share_changed(before, after, kept)
    stage.say(
        f"vocabulary: {pieces['after']:,} of {pieces['before']:,} pieces;"
        f" {pieces['dev_texts_changed']:.1%} of the dev texts are cut into others than before"
    )
    metrics = {"metric": task.metric, "score_before": base_score, "forms": forms, "vocabulary": pieces}
    card = model_card(stage.recipe, stage.inputs, evaluation=stage.upstream["evaluate_student"], exported=metrics)
    (stage.output / CARD).write_text(card, encoding="utf-8")
    return metrics


def kept_ids(stage: Stage) -> np.ndarray:
    """The pieces that the texts which the student was trained on use often enough."""
    counts = augmented_texts(stage).texts.piece_counts()
    tokenizer = load_tokenizer(stage.upstream["distill_predictions"])
    return kept_pieces(tokenizer, counts, min_count=stage.recipe.export_student.min_count)


def save(stage: Stage, student: PreTrainedModel, kept: np.ndarray | None, *, inputs: list[str]) -> None:
    """Every form of the student, in the folder that is published."""
    source, exported = stage.upstream["distill_predictions"], copy.deepcopy(student)
    if kept is not None:
        trim_embeddings(exported, kept)
    kind_of(stage.recipe.task).save(exported, stage.output, tokenizer_of=source)
    for path in (path for pattern in TOKENIZER_FILES for path in stage.output.glob(pattern)):
        path.unlink()  # a vocab.txt beside tokenizer.json would still be the whole one
    save_tokenizer(load_tokenizer(source), stage.output, max_length=stage.recipe.task.max_length, kept=kept)
    export_onnx(exported, stage.output / FLOAT32, inputs=inputs)
    quantise(stage.output / FLOAT32, stage.output / INT8)


def score_of(task: TaskData, outputs: np.ndarray, split: LabelledSplit) -> float:
    """The task's metric."""
    return score(task, judged(task, answers(task, outputs, split), split))


def largest_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Between outputs (units, C); NaN where other pieces make other units of the same texts."""
    return float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else float("nan")


def check(forms: dict[str, dict[str, Any]], *, base_score: float, largest_loss: float, scale: float) -> None:
    """Raises WorkFailed for a form that loses too much, or an ONNX file that is not the PyTorch model."""
    for name, form in forms.items():
        if base_score - form["score"] > largest_loss:
            raise WorkFailed(
                f"{name} scores {form['score']:.4f} on dev, the student {base_score:.4f}: more than"
                f" export_student.largest_loss, {largest_loss:g}, below; raise it, or lower export_student.min_count"
            )
    gap = forms[FLOAT32]["largest_difference"]
    if gap > ROUNDING * max(1.0, scale):
        raise WorkFailed(f"{FLOAT32}: its outputs differ by {gap:.2g} from those of PyTorch, more than rounding does")


def share_changed(before: LabelledSplit, after: LabelledSplit, kept: np.ndarray | None) -> float:
    """Share of the rows whose texts are cut into other pieces than with the whole vocabulary."""
    if kept is None:
        return 0.0
    old, new = ([[] for _ in range(len(split.dataset))] for split in (before, after))
    for row, ids in zip(before.texts.row, before.texts.rows["input_ids"], strict=True):
        old[row] += ids
    for row, ids in zip(after.texts.row, after.texts.rows["input_ids"], strict=True):
        new[row] += kept[ids].tolist()
    return float(np.mean([mine != theirs for mine, theirs in zip(old, new, strict=True)]))


if __name__ == "__main__":
    run_stage("export_student", main)
