"""A general student, which has no task, beside its teacher: on documents that no stage trained on."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from transformers import PreTrainedModel

from pipeline.config.objectives import layer_map
from pipeline.data.corpus import HELD_OUT_FOLDER, Corpus
from pipeline.evaluate.comparison import gains, kept_interval, size
from pipeline.evaluate.exported_forms import WEIGHTS, ExportedForm, ExportedForms
from pipeline.evaluate.held_out import HeldOutMetric, MaskedWords, NextTokens, States, linear_cka
from pipeline.evaluate.latency import latencies_in_turn, latencies_ms
from pipeline.export.decoder_onnx import OnnxDecoder
from pipeline.export.onnx import OnnxModel
from pipeline.export.onnx_session import FLOAT32, INT8
from pipeline.models.loading import load_language_model, load_tokenizer, parameter_count
from pipeline.models.saved_model import is_decoder
from pipeline.runtime.stage import Stage

INPUTS = ("input_ids", "attention_mask")  # of an exported file
TASK, TEXT = "general student", "held-out text"


def load_general(stage: Stage, folder: Path, *, attention: str) -> PreTrainedModel:
    """A masked LM, or the encoder alone where the recipe keeps no masked-LM head; a decoder has its head."""
    with_head = bool(stage.recipe.distill_general.masked_lm_head) or is_decoder(folder)
    model = load_language_model(folder, new_head=not with_head, attention=attention)
    model = model if with_head else cast(PreTrainedModel, model.base_model)
    return model.to(stage.accelerator.device).eval()  # pyright: ignore[reportArgumentType]


def held_out_metric(stage: Stage, folder: Path) -> HeldOutMetric:
    """How the recipe's student is measured. Args: folder: of a model, whose tokenizer counts."""
    corpus, tokenizer = Corpus(stage.upstream["prepare_corpus"] / HELD_OUT_FOLDER), load_tokenizer(folder)
    if is_decoder(folder):
        return NextTokens(corpus, tokenizer, stage)
    if stage.recipe.distill_general.masked_lm_head:
        return MaskedWords(corpus, tokenizer, stage)
    return States(corpus, tokenizer, stage)


def compare_general(stage: Stage, *, teacher: Path, student: Path) -> tuple[dict[str, Any], np.ndarray] | None:
    """Teacher against student, as results.json has it, and the teacher's statistics; None for other processes.

    Every process takes its share of the text, and the main one alone goes on: nothing computes beside what it times.
    """
    settings, metric = stage.recipe.evaluate_student, held_out_metric(stage, student)
    folders = {"teacher": teacher, "student": student}
    models = {role: load_general(stage, folder, attention="sdpa") for role, folder in folders.items()}
    outputs, rates, statistics, sides = {}, {}, {}, {}
    for role, model in models.items():
        begin = time.perf_counter()
        outputs[role] = metric.outputs(model)
        rates[role] = len(metric.rows) / (time.perf_counter() - begin)
    if not stage.is_main:
        return None
    for role, model in models.items():
        statistics[role] = metric.statistics(outputs[role])
        score = metric.score(statistics[role], teacher=statistics["teacher"])
        sides[role] = {"score": score, "scores": {TEXT: score}, **metric.details(outputs[role])}
        sides[role] |= size(model, folders[role]) | {"examples_per_s": rates[role]}
    latencies = latencies_ms(list(models.values()), rounds=settings.timing_rounds)
    for side, latency in zip(sides.values(), latencies, strict=True):
        side["latency_ms"] = latency
    theirs, ours, kept, interval = sides["teacher"], sides["student"], None, None
    if metric.can_be_kept and theirs["score"]:
        kept = ours["score"] / theirs["score"]
        interval = kept_interval(stage, partial(metric.score, teacher=statistics["teacher"]), **statistics)
    results = {
        "task": TASK,
        "metric": metric.name,
        "split": TEXT,
        "rows": len(metric.rows),
        "labels": [],
        "teacher": theirs,
        "student": ours,
        "kept": kept,
        "kept_interval": interval,
        "agreement": metric.agreement(outputs["teacher"], outputs["student"]),
        "layers": layers_alike(stage, metric, **models),
        **gains(theirs, ours),
        "seed": stage.recipe.seed,
    }
    return results, statistics["teacher"]


def layers_alike(
    stage: Stage, metric: HeldOutMetric, *, teacher: PreTrainedModel, student: PreTrainedModel
) -> list[dict[str, Any]]:
    """How alike the hidden states of the student's layers are to those of the layers that they learn from."""
    N, M = teacher.config.num_hidden_layers, student.config.num_hidden_layers
    layers = layer_map(stage.recipe.distill_general.layer_map, teacher_layers=N, student_layers=M)
    ours = metric.layer_states(student, list(layers))
    theirs = metric.layer_states(teacher, list(layers.values()))
    pairs = zip(layers.items(), ours, theirs, strict=True)
    return [{"student": own, "teacher": source, "linear_cka": linear_cka(x, y)} for (own, source), x, y in pairs]


def measure_general_forms(
    stage: Stage,
    folder: Path,
    metric: HeldOutMetric,
    score_of: Callable[[np.ndarray], float],
    *,
    teacher: PreTrainedModel,
    student: PreTrainedModel,
    exported: PreTrainedModel,
) -> ExportedForms:
    """Every exported form in a folder on the held-out text; only the main process's times count.

    Args:
        score_of: the score that follows from the metric's statistics of a model.
        teacher: only its latency is measured, on the CPU.
        student, exported: the student before, and as `folder` holds it.
    """
    student, exported = (model.to(stage.accelerator.device) for model in (student, exported))
    before = metric.outputs(student)
    models: dict[str, Any] = {WEIGHTS: exported}
    in_onnx = OnnxDecoder if is_decoder(folder) else OnnxModel
    models |= {name: in_onnx(folder / name, exported.config) for name in (FLOAT32, INT8)}
    forms, rates, statistics, values = {}, {}, {}, {"": metric.values(before)}
    for name, model in models.items():
        begin = time.perf_counter()
        outputs = metric.outputs(model)
        rates[name] = len(metric.rows) / (time.perf_counter() - begin)
        statistics[name], values[name] = metric.statistics(outputs), metric.values(outputs)
    teacher, models[WEIGHTS] = teacher.cpu(), exported.cpu()  # where the ONNX files run: all are timed on one processor
    of_teacher, latencies = latencies_in_turn(teacher, models, INPUTS) if stage.is_main else (0.0, {})
    for name in models:
        gap = np.abs(values[name] - values["" if name == WEIGHTS else WEIGHTS])
        score = score_of(statistics[name])
        forms[name] = ExportedForm(
            score=score,
            test_score=score,
            largest_difference=float(gap.max()),
            bytes=(folder / name).stat().st_size,
            parameters=parameter_count(exported),
            latency_ms=latencies.get(name, 0.0),
            examples_per_s=rates[name],
        )
    return ExportedForms(
        forms=forms,
        test_statistics=statistics,
        student_score=score_of(metric.statistics(before)),
        teacher_latency_ms=of_teacher,
        largest_output=float(np.abs(values[WEIGHTS]).max()),
        rows=TEXT,
    )
