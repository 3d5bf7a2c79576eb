"""The HTML pages of runs: what the templates need beside the run's summary. A page is one file and needs no network."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq

from pipeline.artifacts.store import intact, published_files
from pipeline.plan.run_folder import PREDICTIONS
from pipeline.plan.stages import STAGES
from pipeline.report import plots
from pipeline.report.run_summary import MEASURES, RunSummary, differences, machine_of_latencies
from pipeline.report.templates import render
from pipeline.tasks.augmented import DiffPart, word_diff

COMPARISON = "comparison.html"
EXAMPLES = 8  # of augmentation
ROWS_READ = 1_000  # from the beginning of the augmented dataset, to find them


def report_page(run: RunSummary) -> str:
    """The report of one run, as HTML."""
    rows = predictions(run)
    return render(
        "report.html.jinja",
        run=run,
        machine=machine_of_latencies(run.metrics("export_student"), run.stages.get("evaluate_student", {})),
        measures=MEASURES,
        plots=plots,
        predictions=rows,
        disagreements=disagreements(rows),
        examples=augmentation_examples(run),
    )


def comparison_page(runs: Sequence[RunSummary]) -> str:
    """Several runs side by side, as HTML: results, the settings in which they differ, times."""
    evaluated = [(run.name, run.results) for run in runs if run.results is not None]
    students = [(name, results["student"]) for name, results in evaluated]
    teacher = [("teacher", results["teacher"]) for _, results in evaluated[:1]]
    return render(
        "comparison.html.jinja",
        runs=runs,
        models=teacher + students,
        metrics={results["metric"] for _, results in evaluated},
        measures=MEASURES,
        plots=plots,
        differences=differences(runs),
        stages=[stage for stage in STAGES if any(stage in run.stages for run in runs)],
    )


def predictions(run: RunSummary) -> list[dict[str, Any]]:
    """Every test row with both models' answers (`pipeline.evaluate.comparison.prediction_table`).

    Several labels of a text are one name, and their probabilities the distance of the two models (`distance`). Empty
    where the label of a row is neither names nor a score, as in tagging.
    """
    folder = run.folder / "evaluate_student"
    if "evaluate_student" not in run.stages or not (folder / PREDICTIONS).is_file():
        return []
    rows = pq.read_table(intact(folder, PREDICTIONS)).to_pylist()
    if rows and isinstance(rows[0].get("teacher_probability"), list):
        return [_with_one_name(row) for row in rows]
    return rows if rows and isinstance(rows[0].get("label"), str | float) else []


def _with_one_name(row: Mapping[str, Any]) -> dict[str, Any]:
    pairs = zip(row["teacher_probability"], row["student_probability"], strict=True)
    names = {name: ", ".join(row[name]) or "none" for name in ("label", "teacher", "student")}
    return {"split": row["split"], "texts": row["texts"], **names, "distance": sum(abs(a - b) for a, b in pairs)}


def disagreements(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows answered differently: first those of which both are surest; of scores, those with the widest gap."""

    def weight(row: Mapping[str, Any]) -> float:
        if isinstance(row["teacher"], float):
            return abs(row["teacher"] - row["student"])
        return row["distance"] if "distance" in row else row["teacher_probability"] + row["student_probability"]

    return sorted((row for row in rows if row["teacher"] != row["student"]), key=weight, reverse=True)


def augmentation_examples(run: RunSummary) -> list[list[DiffPart]]:
    """A variant of each of the first texts of the augmented dataset that have one, in parts."""
    folder = run.folder / "augment_data"
    files = [file.relative_to(folder).as_posix() for file in published_files(folder, "data/*.parquet")]
    if "augment_data" not in run.stages or not files:
        return []
    with pq.ParquetFile(intact(folder, files[0])) as file:
        first_rows = next(file.iter_batches(ROWS_READ)).to_pylist()
    examples: dict[int, list[DiffPart]] = {}
    original: dict[str, Any] = {}
    for row in first_rows:
        if row["variant"] == 0:
            original = row
        elif row["replaced"] and row["source_id"] not in examples:
            column = row["replaced"][0]["column"]
            examples[row["source_id"]] = word_diff(original[column], row["replaced"])
    return list(examples.values())[:EXAMPLES]
