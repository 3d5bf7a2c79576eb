"""Teacher against student: score, size, speed, and how sure one can be."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from transformers import PreTrainedModel

from pipeline.evaluate.inference import predict_together
from pipeline.evaluate.latency import latencies_ms
from pipeline.evaluate.other_teacher import load_other_teacher
from pipeline.evaluate.scoring import LabelledSplit, labelled_split, score, thresholds_of
from pipeline.heads import head_of
from pipeline.models.loading import encoder_parameter_count, parameter_count
from pipeline.models.saved_model import LOADED_FILES
from pipeline.runtime.stage import Stage
from pipeline.tasks.labelled_data import TaskData
from pipeline.tasks.per_label import curves_of_rare_labels, figures
from pipeline.tasks.soft_labels import given_logits

NEAR_ZERO = 0.1  # of a teacher that scores less, or no more than an answer without a look at the text, nothing is kept
MOST_NUMBERS = 4_000_000_000  # of statistics in all samples of an interval: some minutes of work
FEWEST_SAMPLES = 200  # of an interval, however many statistics there are


def size(model: PreTrainedModel, folder: Path) -> dict[str, int]:
    """Parameters in all, of the transformer layers alone, and bytes of the files that a user loads."""
    return {
        "parameters": parameter_count(model),
        "encoder_parameters": encoder_parameter_count(model),
        "disk_bytes": disk_bytes(folder),
    }


def disk_bytes(folder: Path) -> int:
    """Bytes of a saved model's files that a user loads."""
    files = {path for pattern in LOADED_FILES for path in folder.glob(pattern)}
    return sum(path.stat().st_size for path in files)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One model on the labelled splits."""

    model: PreTrainedModel
    outputs: Mapping[str, np.ndarray]  # (units, C), by split
    predictions: Mapping[str, Any]  # what they say of each row, by split
    test_statistics: np.ndarray
    results: dict[str, Any]  # as results.json has them


def measure(stage: Stage, splits: Mapping[str, LabelledSplit], folder: Path) -> Measured:
    """Score a model in float32, as `from_pretrained` gives it; every process takes its share of the rows."""
    task = splits["test"].task
    model = head_of(task.kind).load(folder, label_names=task.label_names, new_head=False, attention="sdpa")
    model = model.to(stage.accelerator.device).eval()
    begin = time.perf_counter()
    outputs = {name: predict_together(model, split.texts, stage) for name, split in splits.items()}
    seconds = time.perf_counter() - begin
    thresholds = thresholds_of(model)
    predictions = {name: split.predictions(outputs[name], thresholds) for name, split in splits.items()}
    statistics_of = {name: split.statistics(predictions[name]) for name, split in splits.items()}
    scores = {name: score(task, found) for name, found in statistics_of.items()}
    results = {
        "score": scores["test"],
        "scores": scores,
        "parts": task.kind.details(task.metric, statistics_of["test"]),
        **size(model, folder),
        "examples_per_s": sum(len(split.dataset) for split in splits.values()) / seconds,
    }
    if all_scores := task.kind.all_scores(statistics_of["test"]):
        results["all_scores"] = all_scores
    answers = task.kind.one_versus_rest(predictions["test"], outputs["test"], splits["test"].references)
    if answers is not None:
        results["by_label"] = figures(answers, task.label_names)
        results["curves"] = curves_of_rare_labels(answers, task.label_names)
    return Measured(
        model=model,
        outputs=outputs,
        predictions=predictions,
        test_statistics=statistics_of["test"],
        results=results,
    )


def given_teacher(stage: Stage, splits: Mapping[str, LabelledSplit]) -> dict[str, Any] | None:
    """The scores on test of the teacher whose predictions are given, and its statistics (R, S).

    It is there as a model (`annotate_data.teacher`) or as soft labels. Of several labels a text dev chooses its
    thresholds, where it answers dev rows too.

    Args: splits: test, and dev.
    Returns: None where a test row has no soft labels.
    """
    test, dev = splits["test"], splits["dev"]
    task = test.task
    if stage.inputs.other_teacher:
        teacher = load_other_teacher(stage, task.kind, task.label_names)
        read = replace(stage.recipe.task, max_length=teacher.max_length)
        test, dev = (labelled_split(one.dataset, task, read, teacher.tokenizer) for one in (test, dev))
        outputs, of_dev = (teacher.in_order(predict_together(teacher.model, one.texts, stage)) for one in (test, dev))
    else:
        outputs, of_dev = (given_logits(task.splits[name]) for name in ("test", "dev"))
        if outputs is None:
            return None
        outputs = outputs.reshape(len(test.texts), -1)  # a row may be several texts, each with its vector
    thresholds = dev.choose_thresholds(of_dev) if of_dev is not None else []
    found = test.statistics(test.predictions(outputs, thresholds))
    scores = {"score": score(task, found), "parts": task.kind.details(task.metric, found)}
    if all_scores := task.kind.all_scores(found):
        scores["all_scores"] = all_scores
    return {**scores, "statistics": found}


def share_kept(
    stage: Stage, task: TaskData, *, teacher: np.ndarray, student: np.ndarray
) -> dict[str, float | tuple[float, float] | None]:
    """The student's share of the teacher's score, `kept`, and its `kept_interval`.

    Both are None for a teacher that scores next to nothing, or no better than an answer without a look at the text: of
    such a teacher any student keeps a large share.

    Args: teacher, student: statistics of the same rows, (rows, S).
    """
    theirs = score(task, teacher)
    if theirs < NEAR_ZERO or not task.kind.beats_trivial(task.metric, teacher):
        return {"kept": None, "kept_interval": None}
    interval = kept_interval(stage, lambda rows: score(task, rows), teacher=teacher, student=student)
    return {"kept": score(task, student) / theirs, "kept_interval": interval}


def kept_of_given(stage: Stage, given: Mapping[str, Any], student: Measured, task: TaskData) -> dict[str, Any]:
    """The given teacher, and what the student keeps of its score, as results.json has it."""
    kept = share_kept(stage, task, teacher=given["statistics"], student=student.test_statistics)
    return {key: value for key, value in given.items() if key != "statistics"} | kept


def compare(stage: Stage, test: LabelledSplit, *, teacher: Measured, student: Measured) -> dict[str, Any]:
    """Teacher against student, as results.json has it; measures their latencies too."""
    settings, task = stage.recipe.evaluate_student, test.task
    latencies = latencies_ms([teacher.model, student.model], rounds=settings.timing_rounds)
    theirs, ours = (
        side.results | {"latency_ms": latency} for side, latency in zip((teacher, student), latencies, strict=True)
    )
    kept = share_kept(stage, task, teacher=teacher.test_statistics, student=student.test_statistics)
    return {
        "task": task.name,
        "metric": task.metric,
        "split": "test",
        "rows": len(test.dataset),
        "labels": task.label_names,
        "teacher": theirs,
        "student": ours,
        **kept,
        "agreement": task.kind.agreement(teacher.predictions["test"], student.predictions["test"]),
        **gains(theirs, ours),
        "seed": stage.recipe.seed,
    }


def gains(teacher: Mapping[str, Any], student: Mapping[str, Any]) -> dict[str, float]:
    """How many times smaller and faster a student is, by both models' figures."""
    return {
        "times_smaller": teacher["parameters"] / student["parameters"],
        "encoder_times_smaller": teacher["encoder_parameters"] / student["encoder_parameters"],
        "times_faster": teacher["latency_ms"] / student["latency_ms"],
    }


def kept_interval(
    stage: Stage, score: Callable[[np.ndarray], float], *, teacher: np.ndarray, student: np.ndarray
) -> tuple[float, float] | None:
    """95% interval of the student's share of the teacher's score: a paired bootstrap over the rows (Efron, 1979).

    As many samples as the recipe says; of very many statistics fewer, and that is said.

    Args:
        score: of some rows' statistics.
        teacher, student: statistics of the same rows, (rows, S) (`TaskKind.statistics`).

    Returns: its ends; None for a teacher that never scores above 0.
    Raises: Interrupted after a sample, where a signal reached this process.
    """
    wanted = stage.recipe.evaluate_student.bootstrap
    samples = min(wanted, max(FEWEST_SAMPLES, MOST_NUMBERS // teacher.size))
    if samples < wanted:
        stage.say(
            f"the interval of what is kept is drawn from {samples:,} samples, not evaluate_student.bootstrap,"
            f" {wanted:,}: {len(teacher):,} rows of {teacher.shape[1]:,} numbers to score would take too long"
        )
    random, shares = np.random.default_rng([stage.recipe.seed, 4]), []
    with stage.bar(total=samples, unit="sample") as bar:
        for number in range(samples):
            rows = random.integers(0, len(teacher), len(teacher))
            base = score(teacher[rows])
            if base > 0:
                shares.append(score(student[rows]) / base)
            bar.update()
            stage.stop_if_asked_here(f"sample {number + 1} of {samples}")
    if not shares:
        return None
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


def prediction_table(splits: Mapping[str, LabelledSplit], measured: Mapping[str, Measured]) -> pa.Table:
    """Each row of some splits with what both models say of it.

    Args: measured: by role, teacher and student.
    Returns: columns `split`, `texts`, `label`, and of each role what the kind of task writes of a prediction:
        `teacher`, `student` (label names, scores, ...); of a classification also `teacher_probability` and
        `student_probability`.
    """
    tables = []
    for name, split in splits.items():
        task = split.task
        examples = task.splits[name]
        columns: dict[str, list] = {
            "split": [name] * len(examples),
            "texts": [list(example.texts) for example in examples],
            "label": [example.label for example in examples],
        }
        for role, side in measured.items():
            written = task.kind.prediction_columns(side.predictions[name], side.outputs[name], task.label_names)
            for column, values in written.items():
                columns[f"{role}_{column}" if column else role] = values
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)
