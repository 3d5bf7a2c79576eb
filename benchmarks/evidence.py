"""What each part of the method brings, over tasks and seeds: the paper's Tables 2 and 3, with MiniLM as teacher.

    python -m benchmarks.evidence [--tasks snippets sst2 mrpc stsb] [--seeds 0 1 2] [--data FOLDER] [--hours H] [--gpu]
                                  [--output FILE] [--section.field value ...]

For each seed and task: the teacher; the student on labels alone; the full pipeline; and the pipeline without one of its
parts. Every score is on test rows that chose nothing. Runs share artifacts and are kept, so the same command goes on
where it stopped; the report (runs/evidence.md) is written anew after each run. Hours on a CPU.
"""

import argparse
import csv
import json
import re
import shlex
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from benchmarks.quality import labels_alone, layers_and_labels, run
from benchmarks.results import commit
from benchmarks.runs import made_by, sentence
from pipeline import PROJECT
from pipeline.artifacts.atomic import write_atomically
from pipeline.artifacts.store import cache_folder
from pipeline.config import Recipe
from pipeline.config.recipe_file import load_recipe
from pipeline.errors import status_of
from pipeline.hardware import cpu_name, gpu_count
from pipeline.plan.plan import Plan
from pipeline.plan.run_folder import RESULTS

RECIPES = {
    "snippets": "recipes/rotten_tomatoes.yaml",
    "sst2": "recipes/glue/minilm_sst2.yaml",
    "mrpc": "recipes/glue/minilm_mrpc.yaml",
    "stsb": "recipes/glue/minilm_stsb.yaml",
}
TEACHER, FULL, LABELS, NO_PREDICTION = "teacher", "full pipeline", "labels alone", "without the prediction loss"
ABLATIONS = {  # what the full pipeline is run without, or with, and the settings for it
    "with a random start": {  # which needs the attention loss
        "student.start": "random",
        "student.start_from": "backbone",
        "distill_layers.attention": 1,
    },
    "fitted to the backbone": {"student.start_from": "backbone"},
    "fitted to the backbone, general distillation": {"student.start_from": "backbone", "distill_general.epochs": 1},
    "without augmentation": {"augment_data.variants": 0},
    "without layer distillation": {"distill_layers.epochs": 0},
    "without the embedding loss": {"distill_general.embedding": 0, "distill_layers.embedding": 0},
    "without the hidden loss": {"distill_general.hidden": 0, "distill_layers.hidden": 0},
    "without the attention loss": {"distill_general.attention": 0, "distill_layers.attention": 0},
    "with the attention loss": {"distill_layers.attention": 1},
    "each pass of the teacher used once": {"distill_layers.echo": 1},
}
SCORED = ("--until", "evaluate_student")  # what ships is not asked for
STSB_HEADER = (
    *("index", "genre", "filename", "year", "old_index"),
    *("source1", "source2", "sentence1", "sentence2", "score"),
)

Scores = dict[tuple[str, str], dict[int, float]]  # (task, way) -> seed -> score on test


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evidence", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--recipe", type=Path, help="one recipe instead of the tasks")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data", type=Path, help="folder with glue/SST-2, glue/MRPC and stsb/; without it the hub's")
    parser.add_argument(
        "--hours", type=float, help="begin no run after so many hours; what is left out is written down"
    )
    parser.add_argument("--gpu", action="store_true", help="stop at once where there is no GPU")
    parser.add_argument("--output", type=Path, default=PROJECT / "runs" / "evidence.md")
    given, overrides = parser.parse_known_args()
    if given.gpu and not gpu_count():
        parser.error("--gpu: this machine has none")
    recipes = {given.recipe.stem: given.recipe} if given.recipe else {t: PROJECT / RECIPES[t] for t in given.tasks}
    ends = time.monotonic() + 3600 * given.hours if given.hours is not None else float("inf")
    scores: Scores = {}
    left_out: list[str] = []
    made: list[dict[str, Any]] = []
    for seed in given.seeds:
        for task, recipe in recipes.items():
            arguments = [*data_settings(task, given.data), *overrides, "--seed", str(seed)]
            for way, score in measured(task, recipe, arguments, seed=seed, ends=ends, made=made):
                if score is None:
                    left_out.append(f"{task}, seed {seed}: {way}")
                    continue
                scores.setdefault((task, way), {})[seed] = score
                write_atomically(given.output, page(scores, left_out, made))
    text = page(scores, left_out, made)
    write_atomically(given.output, text)
    print(text)


def data_settings(task: str, data: Path | None) -> list[str]:
    """Where a GLUE task's files lie, as settings of the recipe."""
    if task not in ("sst2", "mrpc", "stsb") or data is None:
        return []
    return ["--task.data", str(official_stsb(data / "stsb") if task == "stsb" else data.resolve() / "glue")]


def official_stsb(source: Path) -> Path:
    """The STS benchmark as its authors publish it (CSV, no header) in GLUE's layout; returns the folder."""
    folder = cache_folder(PROJECT / "artifacts") / "stsb"
    for split in ("train", "dev"):
        with (source / f"{split}.csv").open(newline="", encoding="utf-8") as file:
            rows = ["\t".join(["-"] * 7 + row) for row in csv.reader(file)]
        write_atomically(folder / f"{split}.tsv", "\n".join(["\t".join(STSB_HEADER), *rows]) + "\n")
    return folder


def measured(
    task: str, recipe: Path, arguments: list[str], *, seed: int, ends: float, made: list[dict[str, Any]]
) -> Iterator[tuple[str, float | None]]:
    """The score of each way, most telling first; None for those that there was no time for.

    A part that the recipe has not cannot be left out of it. Args: made: what the stages of each run were made with is
    added to it.
    """
    settings, full = load_recipe(recipe, arguments), None
    parts = [way for way, changes in ABLATIONS.items() if changed(settings, changes)]
    for way in (FULL, LABELS, *parts, NO_PREDICTION):
        if time.monotonic() > ends:
            yield way, None
            continue
        named = [*arguments, "--name", f"evidence-{task}-seed-{seed}-{re.sub('[^a-z]+', '-', way)}"]
        if way == FULL:
            full = run(recipe, named, *SCORED)
            made.append({"stages": made_by(full, until=SCORED[-1])})
            yield TEACHER, results_of(full, "teacher")
            yield way, results_of(full, "student")
            continue
        assert full is not None, "the full pipeline comes first"
        if way == LABELS:
            yield way, labels_alone(full, recipe, named)
        elif way == NO_PREDICTION:
            yield way, layers_and_labels(full, recipe, named)
        else:
            changes = [word for key, value in ABLATIONS[way].items() for word in (f"--{key}", str(value))]
            other = run(recipe, [*named, *changes], *SCORED)
            made.append({"stages": made_by(other, until=SCORED[-1])})
            yield way, results_of(other, "student")


def changed(recipe: Recipe, changes: Mapping[str, float]) -> bool:
    """Whether settings would be others than the recipe's; those of general distillation only where there is any."""
    is_general = changes.get("distill_general.epochs", recipe.distill_general.epochs)
    return any(
        attrgetter(name)(recipe) != value
        for name, value in changes.items()
        if is_general or not name.startswith("distill_general.")
    )


def results_of(plan: Plan, role: str) -> float:
    evaluation = plan.stages["evaluate_student"].artifact.folder
    return json.loads((evaluation / RESULTS).read_text(encoding="utf-8"))[role]["score"]


def page(scores: Scores, left_out: Sequence[str], made: Sequence[Mapping[str, Any]] = ()) -> str:
    """The report: a table a task, the machine, the command, what was left out, and with what the runs were made."""
    lines = [
        "# Evidence",
        "",
        "Score on test in points, mean and standard deviation over seeds; `against full` is that of the differences,",
        "seed by seed. Written by:",
        "",
        f"    {shlex.join(['python', '-m', 'benchmarks.evidence', *sys.argv[1:]])}",
        "",
        f"on {machine()}, commit {commit()}.",
    ]
    for task in dict.fromkeys(task for task, _ in scores):
        lines += ["", f"## {task}", "", *table({way: found for (of, way), found in scores.items() if of == task})]
    if left_out:
        lines += ["", "## Left out, for want of time", "", *(f"- {line}" for line in left_out)]
    if said := sentence(made):
        lines += ["", said]
    return "\n".join(lines) + "\n"


def table(ways: Mapping[str, Mapping[int, float]]) -> list[str]:
    """The Markdown table of one task, and a sentence that holds it against the bars."""
    lines = ["| | score | kept of the teacher | against full | seeds |", "|---|---|---|---|---|"]
    full = ways.get(FULL, {})
    better = []
    for way, found in ways.items():
        kept = [score / ways[TEACHER][seed] for seed, score in found.items() if ways[TEACHER][seed] > 0]
        gaps = [score - full[seed] for seed, score in found.items() if seed in full]
        share = spread(kept, unit="%") if way != TEACHER and kept else ""
        against = spread(gaps, signed=True) if way not in (TEACHER, FULL) and gaps else ""
        lines.append(f"| {way} | {spread(list(found.values()))} | {share} | {against} | {len(found)} |")
        if against and len(gaps) > 1 and statistics.mean(gaps) > statistics.stdev(gaps):
            better.append(way)
    shares = [score / ways[TEACHER][seed] for seed, score in full.items() if ways[TEACHER][seed] > 0]
    if not shares:
        return lines
    lines += ["", f"The full pipeline keeps {statistics.mean(shares):.1%} of its teacher's score."]
    if len(full) < 2:
        lines.append("One seed has no spread: small differences from the full pipeline may be chance.")
    else:
        lines.append(f"Better than the full pipeline by more than the spread: {', '.join(better) or 'none'}.")
    return lines


def spread(values: Sequence[float], *, unit: str = "", signed: bool = False) -> str:
    """Mean and standard deviation, times 100; of one value the value alone."""
    mean = f"{100 * statistics.mean(values):{'+' if signed else ''}.2f}{unit}"
    return f"{mean} ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else mean


def machine() -> str:
    """Processor, cores and GPUs."""
    import torch  # noqa: PLC0415

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return f"{cpu_name()}, {torch.get_num_threads()} threads, {', '.join(gpus) or 'no GPU'}, torch {torch.__version__}"


if __name__ == "__main__":
    sys.exit(status_of(main))
