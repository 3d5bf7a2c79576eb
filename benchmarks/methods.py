"""The methods of recipes/methods on one task with one budget: what each student keeps, in one table.

    python -m benchmarks.methods [--methods tinybert pkd ...] [--starts own random fitted] [--json FILE]
                                 [--section.field value ...]

The recipes share teacher, student size, data, augmentation and the passes over the task; they differ by the objectives,
by how the student starts, and by whether plain text is used at all. Each is run with its own start, with random
weights, and with a fitted start. Artifacts are shared and kept, so the benchmark can be stopped and started again.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.quality import run
from benchmarks.runs import made_by
from pipeline import PROJECT
from pipeline.errors import status_of
from pipeline.plan.run_folder import RESULTS

METHODS = ("tinybert", "hinton", "distilbert", "pkd", "minilm", "minilmv2")
STARTS = {
    "own": [],
    "random": ["--student.start", "random"],
    "fitted": ["--student.start", "fitted", "--student.start_layers", "uniform"],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.methods", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given, overrides = parser.parse_known_args()
    rows = [measure(method, start, overrides) for start in given.starts for method in given.methods]
    print(table(rows))
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def measure(method: str, start: str, overrides: list[str]) -> dict[str, Any]:
    """Run a method's recipe, its student started in one of STARTS; its figures on the test rows."""
    recipe = PROJECT / "recipes" / "methods" / f"{method}.yaml"
    plan = run(recipe, [*STARTS[start], *overrides, "--name", f"method-{method}-{start}"])
    found = json.loads((plan.run_folder / RESULTS).read_text(encoding="utf-8"))
    return {
        "method": method,
        "start": plan.recipe.student.start,
        "task_epochs": plan.recipe.distill_layers.epochs + plan.recipe.distill_predictions.epochs,
        "text_epochs": plan.recipe.distill_general.epochs,
        "teacher": found["teacher"]["score"],
        "student": found["student"]["score"],
        "kept": found["kept"],
        "kept_interval": found["kept_interval"],
        "agreement": found["agreement"],
        "stages": made_by(plan),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The figures, a method a line."""
    columns = ("method", "start", "text", "task", "teacher", "student", "kept", "interval", "agreement")
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for row in rows:
        kept = "-" if row["kept"] is None else f"{row['kept']:.1%}"
        interval = " to ".join(f"{end:.1%}" for end in row["kept_interval"] or ()) or "-"
        cells = (
            row["method"],
            row["start"],
            f"{row['text_epochs']:g}",
            f"{row['task_epochs']:g}",
            f"{row['teacher']:.4f}",
            f"{row['student']:.4f}",
            kept,
            interval,
            f"{row['agreement']:.1%}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(status_of(main))
