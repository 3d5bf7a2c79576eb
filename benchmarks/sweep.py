r"""What settings do to the student: every combination of the values given, over several seeds, in one table.

    python -m benchmarks.sweep --vary augment_data.variants 0 2 5                 # does augmentation help?
    python -m benchmarks.sweep --vary pretrain_teacher.train all "top 1" "top 2" --seeds 0
    python -m benchmarks.sweep --recipe recipes/stsb.yaml --vary student.start fitted random \
        --student.start_from backbone --distill_layers.attention 1                # both of which a random start needs

Each combination is run as RECIPE-sweep-SETTINGS-seed-S, as far as `--until` says. What does not depend on the settings
or the seed is shared, and nothing finished is run again, so the benchmark can be stopped and started by the same
command. In the table `seconds` are those of the stages that differ between combinations, each with its start, as
measured when they were made: compare them only where nothing else ran beside. `masked` is the share of masked tokens
that a masked LM trained by the recipe finds. `dev` is the student's score on dev, which may choose between settings;
the others are on test rows, which may not.
"""

import argparse
import itertools
import json
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.quality import run
from benchmarks.runs import note, note_of
from pipeline.config.recipe_file import load_recipe
from pipeline.errors import status_of
from pipeline.launch.options import DEFAULT_RECIPE
from pipeline.plan.plan import Plan

Settings = dict[str, str]


def main() -> None:
    parser = argument_parser()
    given, overrides = parser.parse_known_args()
    if any(len(words) < 2 for words in given.vary):
        parser.error("--vary: give a setting and at least one value")
    rows = sweep(given.recipe, combinations(given.vary), given.seeds, overrides, until=given.until)
    print(table(rows))
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def argument_parser() -> argparse.ArgumentParser:
    """The options; what else is given are settings."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", type=Path, default=DEFAULT_RECIPE)
    parser.add_argument(
        "--vary", nargs="+", action="append", required=True, metavar=("SETTING", "VALUE"), help="may be given again"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--until", default="evaluate_student", metavar="STAGE", help="the last stage (evaluate_student)"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser


def combinations(varied: Sequence[Sequence[str]]) -> list[Settings]:
    """Every combination of the values of each setting, given as [name, value, value, ...]."""
    names = [name for name, *_ in varied]
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*(values for _, *values in varied))]


def sweep(
    recipe: Path, ways: Sequence[Settings], seeds: Sequence[int], overrides: list[str], *, until: str
) -> list[dict[str, Any]]:
    """Run each way with each seed; a row of figures a way.

    Raises: UserError, before anything runs, where the settings of one of them make no recipe.
    """
    for settings in ways:
        load_recipe(recipe, [*overrides, *words_of(settings)])
    manifests = {
        number: [_manifests(_run(recipe, settings, seed, overrides, until=until), until) for seed in seeds]
        for number, settings in enumerate(ways)
    }
    prints = {
        stage: {tuple(run[stage]["fingerprint"] for run in runs) for runs in manifests.values()}
        for stage in manifests[0][0]
    }
    differ = [stage for stage, found in prints.items() if len(found) > 1 or len(ways) == 1]
    return [_row(settings, manifests[number], differ) for number, settings in enumerate(ways)]


def _run(recipe: Path, settings: Settings, seed: int, overrides: list[str], *, until: str) -> Plan:
    said = "-".join(f"{name.split('.')[-1]}-{value}" for name, value in settings.items())
    name = re.sub(r"[^\w.-]+", "-", f"{recipe.stem}-sweep-{said}-seed-{seed}")
    return run(recipe, [*overrides, *words_of(settings), "--seed", str(seed), "--name", name], "--until", until)


def words_of(settings: Settings) -> list[str]:
    """Settings as words of a command line."""
    return [word for setting, value in settings.items() for word in (f"--{setting}", value)]


def _manifests(plan: Plan, until: str) -> dict[str, dict[str, Any]]:
    """What each stage of a run wrote about itself, and the evaluation's results under 'results'."""
    stages = list(plan.stages)
    found = {
        stage: json.loads((plan.stages[stage].artifact.folder / "stage.json").read_text(encoding="utf-8"))
        for stage in stages[: stages.index(until) + 1]
    }
    if "evaluate_student" in found:
        results = (plan.stages["evaluate_student"].artifact.folder / "results.json").read_text(encoding="utf-8")
        found["evaluate_student"]["results"] = json.loads(results)
    return found


def _row(settings: Settings, runs: Sequence[dict[str, dict[str, Any]]], differ: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = dict(settings)
    results = [run["evaluate_student"]["results"] for run in runs if "evaluate_student" in run]
    if results:
        scores = [found["student"]["score"] for found in results]
        row |= {
            "scores": scores,
            "teachers": [found["teacher"]["score"] for found in results],
            "mean": statistics.mean(scores),
            "deviation": statistics.stdev(scores) if len(scores) > 1 else None,  # one seed has no spread
            "kept": mean_or_none([found["kept"] for found in results]),
            "agreement": mean_or_none([found["agreement"] for found in results]),
        }
        dev = [run["distill_predictions"]["metrics"]["dev_score"] for run in runs]
        row["dev"] = mean_or_none(dev)  # None where there were no epochs
    masked = [run["pretrain_teacher"]["metrics"].get("masked_accuracy_after") for run in runs]
    if all(share is not None for share in masked):
        row["masked"] = statistics.mean(masked)
    row["seconds"] = statistics.mean(
        sum(run[stage]["seconds"] + run[stage]["start_seconds"] for stage in differ) for run in runs
    )
    if "distill_predictions" in runs[0]:
        row["curves"] = _curves(runs[0])
    row["stages"] = note_of([{"stages": note(run)} for run in runs])
    row["stage_seconds"] = {stage: statistics.mean(run[stage]["seconds"] for run in runs) for stage in differ}
    return row


def mean_or_none(values: Sequence[float | None]) -> float | None:
    """The mean; None where a value is not known, such as what is kept of a teacher that learnt too little."""
    known = [value for value in values if value is not None]
    return statistics.mean(known) if len(known) == len(values) else None


def _curves(run: Mapping[str, Mapping[str, Any]]) -> dict[str, list[float]]:
    """How a student learnt: the layers' loss by step, its terms summed, and the score on dev after each epoch."""
    points = run["distill_layers"]["metrics"]["curve"]
    return {
        "steps": [point["step"] for point in points],
        "layer_loss": [sum(point.values()) - point["step"] for point in points],
        "dev_scores": run["distill_predictions"]["metrics"]["dev_scores"],
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The figures in Markdown, a combination a line."""
    names = [name for name in rows[0] if not isinstance(rows[0][name], dict)]
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    return "\n".join(lines + [f"| {' | '.join(_cell(name, row[name]) for name in names)} |" for row in rows])


def _cell(name: str, value: Any) -> str:
    if isinstance(value, list):
        return " ".join(f"{each:.4f}" for each in value)
    if not isinstance(value, float):
        return "-" if value is None else str(value)
    if name == "seconds":
        return f"{value:.0f}"
    return f"{value:.1%}" if name in ("kept", "agreement", "masked") else f"{value:.4f}"


if __name__ == "__main__":
    sys.exit(status_of(main))
