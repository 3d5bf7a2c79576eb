"""The forms of an exported student (PyTorch, ONNX, int8 ONNX), scored on the dev rows beside the student itself, and
on the test rows beside the teacher."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from pipeline.artifacts.atomic import link_or_copy
from pipeline.errors import WorkFailed
from pipeline.evaluate.comparison import kept_interval
from pipeline.evaluate.inference import predict_together
from pipeline.evaluate.latency import latencies_in_turn
from pipeline.evaluate.scoring import LabelledSplit, score, thresholds_of
from pipeline.export.decoder_onnx import export_decoder
from pipeline.export.onnx import OnnxModel, export_onnx, quantise
from pipeline.export.onnx_session import FLOAT32, INT8, QUANTIZED, SIDE_FILES
from pipeline.models.loading import load_tokenizer, parameter_count
from pipeline.models.saved_model import TOKENIZER_FILES, is_decoder
from pipeline.models.vocabulary import save_tokenizer
from pipeline.plan.run_folder import RESULTS, TEACHER_STATISTICS
from pipeline.runtime.processes import machine
from pipeline.runtime.stage import Stage

WEIGHTS = "model.safetensors"
ROUNDING = 1e-3  # between PyTorch and ONNX in float32; relative where outputs are larger than 1


@dataclass(frozen=True, kw_only=True)
class ExportedForm:
    """What was measured of one form, as stage.json has it."""

    score: float  # on the rows that check it
    test_score: float
    largest_difference: float  # of its outputs from those of the weights that it was made of
    bytes: int
    parameters: int
    latency_ms: float  # of a text of 32 tokens
    examples_per_s: float


@dataclass(frozen=True, kw_only=True)
class ExportedForms:
    """The forms by their files' names, and what they are compared with."""

    forms: dict[str, ExportedForm]
    test_statistics: Mapping[str, np.ndarray]  # of the test rows, (rows, S)
    student_score: float  # before export
    teacher_latency_ms: float  # measured in turn with theirs
    largest_output: float  # absolute value, of the exported weights
    rows: str = "dev"  # on which they were scored

    def lines(self, metric: str) -> list[str]:
        """A line on each form: its size, its score, how far it is from the weights it was made of, its latency."""
        return [
            f"{name}: {form.bytes / 1e6:.2f} MB, {metric} on {self.rows} {form.score:.4f} (the student's:"
            f" {self.student_score:.4f}), outputs differ by {form.largest_difference:.2g} at most,"
            f" {form.latency_ms:.2f} ms a text of 32 tokens"
            for name, form in self.forms.items()
        ]

    def loses_more(self, name: str, largest_loss: float) -> bool:
        """Whether a form scores so much less than the student, or no number."""
        return not self.student_score - self.forms[name].score <= largest_loss

    def check(self, *, largest_loss: float) -> None:
        """Raises: WorkFailed for a form that loses too much, or an ONNX file that is not the PyTorch model."""
        for name, form in self.forms.items():
            if self.loses_more(name, largest_loss):
                raise WorkFailed(
                    f"{name} scores {form.score:.4f} on {self.rows}, the student {self.student_score:.4f}: more than"
                    f" export_student.largest_loss, {largest_loss:g}, below; raise it"
                )
        gap = self.forms[FLOAT32].largest_difference
        if not gap <= ROUNDING * max(1.0, self.largest_output):
            raise WorkFailed(
                f"{FLOAT32}: its outputs differ by {gap:.2g} from those of PyTorch, more than rounding does"
            )


def add_tokenizer_and_onnx(
    model: PreTrainedModel,
    folder: Path,
    *,
    tokenizer_of: Path,
    max_length: int,
    inputs: Sequence[str],
    embedding_bits: int,
) -> None:
    """What a saved model's folder still needs to ship.

    Args:
        model: that is saved there, loaded with eager attention.
        tokenizer_of: the folder that holds its tokenizer.
        max_length: tokens at which the tokenizer of the shipped folder cuts a text.
        inputs: the names of what the ONNX files take.
        embedding_bits: of the words' embeddings in the int8 file, 4 or 8.
    """
    for path in (path for pattern in TOKENIZER_FILES for path in folder.glob(pattern)):
        path.unlink()  # a vocab.txt beside tokenizer.json would still be the whole one
    save_tokenizer(load_tokenizer(tokenizer_of), folder, max_length=max_length)
    if is_decoder(folder):
        export_decoder(model, folder / FLOAT32)
    else:
        export_onnx(model, folder / FLOAT32, inputs=inputs)
    write_int8(folder, embedding_bits=embedding_bits)


def write_int8(folder: Path, *, embedding_bits: int) -> None:
    """The int8 file of a folder under both of its names, made of the float32 file there."""
    quantise(folder / FLOAT32, folder / INT8, embedding_bits=embedding_bits)
    (folder / QUANTIZED).unlink(missing_ok=True)
    link_or_copy(folder / INT8, folder / QUANTIZED)


def checked_forms(stage: Stage, folder: Path, metric: str, measure: Callable[[], ExportedForms]) -> ExportedForms:
    """The forms in a folder as `measure` finds them, each within `largest_loss` of the student.

    Where the int8 file of a general student loses more with the words' embeddings in 4 bits, it is written again with
    8. A task's student has learnt with them in 4 bits, so 8 would not help.

    Raises: WorkFailed, in the main process, for a form that is not good enough.
    """
    settings, forms = stage.recipe.export_student, measure()
    in_4_bits = settings.embedding_bits == 4 and not stage.recipe.has_task
    if in_4_bits and forms.loses_more(INT8, settings.largest_loss):
        score = forms.forms[INT8].score
        stage.say(
            f"{INT8}: with the words' embeddings in 4 bits {metric} on {forms.rows} is {score:.4f}, of the student"
            f" {forms.student_score:.4f}; they get 8 bits"
        )
        if stage.is_main:
            write_int8(folder, embedding_bits=8)
        stage.accelerator.wait_for_everyone()
        forms = measure()
    if stage.is_main:
        for line in forms.lines(metric):
            stage.say(line)
        forms.check(largest_loss=settings.largest_loss)
    return forms


def measure_forms(
    stage: Stage,
    folder: Path,
    *,
    teacher: PreTrainedModel,
    student: PreTrainedModel,
    exported: PreTrainedModel,
    before: LabelledSplit,
    after: LabelledSplit,
    test: LabelledSplit,
) -> ExportedForms:
    """Score every form in a folder; every process takes its share of the rows, and only the main one's times count.

    Args:
        teacher: only its latency is measured, on the CPU.
        student, before: the student and the dev rows as its tokenizer cuts them.
        exported, after, test: the exported weights, and the dev and test rows as the exported tokenizer cuts them.
    """
    student, exported = (model.to(stage.accelerator.device) for model in (student, exported))
    base = predict_together(student, before.texts, stage)
    models: dict[str, Any] = {WEIGHTS: exported}
    models |= {name: OnnxModel(folder / name, exported.config) for name in (FLOAT32, INT8)}
    inputs, thresholds = after.texts.model_inputs(), thresholds_of(student)
    outputs, rates, of_rows = {}, {}, {}
    for name, model in models.items():
        begin = time.perf_counter()
        outputs[name] = predict_together(model, after.texts, stage)
        rates[name] = len(after.dataset) / (time.perf_counter() - begin)
        of_rows[name] = test.statistics(test.predictions(predict_together(model, test.texts, stage), thresholds))
    teacher, models[WEIGHTS] = teacher.cpu(), exported.cpu()  # where the ONNX files run: all are timed on one processor
    of_teacher, latencies = latencies_in_turn(teacher, models, inputs) if stage.is_main else (0.0, {})
    forms = {
        name: ExportedForm(
            score=after.score(found, thresholds),
            test_score=score(test.task, of_rows[name]),
            largest_difference=_largest_difference(found, base if name == WEIGHTS else outputs[WEIGHTS]),
            bytes=(folder / name).stat().st_size,
            parameters=parameter_count(exported),
            latency_ms=latencies.get(name, 0.0),
            examples_per_s=rates[name],
        )
        for name, found in outputs.items()
    }
    return ExportedForms(
        forms=forms,
        test_statistics=of_rows,
        student_score=before.score(base, thresholds),
        teacher_latency_ms=of_teacher,
        largest_output=float(np.abs(outputs[WEIGHTS]).max()),
    )


def shipped_beside_teacher(
    stage: Stage, forms: ExportedForms, score_of: Callable[[np.ndarray], float], folder: Path
) -> dict[str, Any]:
    """The int8 file, with what it needs beside it, against the teacher as evaluate_student measured it, on test rows.

    Args: score_of: the score that follows from some rows' statistics.
    Returns: `score`, `kept` and its 95% interval (None where nothing can be kept of the teacher's score), `disk_bytes`,
        `latency_ms`, `teacher_latency_ms`, `examples_per_s`, `teacher_examples_per_s` (None where the teacher ran on a
        GPU, for the file runs on the CPU), `times_smaller`, `times_faster`, and the `machine` of the latencies.
    """
    evaluation, form = stage.upstream["evaluate_student"], forms.forms[INT8]
    results = json.loads((evaluation / RESULTS).read_text(encoding="utf-8"))
    teacher, interval = results["teacher"], None
    if results["kept"] is not None:
        interval = kept_interval(
            stage,
            score_of,
            teacher=np.load(evaluation / TEACHER_STATISTICS, allow_pickle=False),
            student=forms.test_statistics[INT8],
        )
    disk_bytes = sum((folder / name).stat().st_size for name in (INT8, *SIDE_FILES))
    return {
        "file": INT8,
        "score": form.test_score,
        "kept": form.test_score / teacher["score"] if results["kept"] is not None else None,
        "kept_interval": interval,
        "disk_bytes": disk_bytes,
        "latency_ms": form.latency_ms,
        "teacher_latency_ms": forms.teacher_latency_ms,
        "examples_per_s": form.examples_per_s,
        "teacher_examples_per_s": teacher["examples_per_s"] if stage.accelerator.device.type == "cpu" else None,
        "times_smaller": teacher["disk_bytes"] / disk_bytes,
        "times_faster": forms.teacher_latency_ms / form.latency_ms,
        "machine": machine("cpu"),
    }


def _largest_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Between outputs (units, C); NaN where another vocabulary gives another number of units."""
    return float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else float("nan")
