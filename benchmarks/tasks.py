"""The other tasks: sentences, pairs, scores, embeddings, names, questions, Chinese, several labels.

    python -m benchmarks.tasks [--tasks mrpc wnut17 ...] [--data FOLDER] [--seeds 0 1 2] [--json FILE]
                               [--section.field value ...]

Each is run by its own recipe as RECIPE-seed-S, and its figures are those of its results.json. Runs are kept, so the
same command goes on where it stopped. FOLDER holds the data sets as their authors publish them, in the folders that the
recipes name (glue/, stsb/, wnut17/, xquad-en/, zh-reviews/, goemotions/); without it they are looked for in data/. A
task whose data are not there is not run.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.evidence import data_settings
from benchmarks.quality import run
from benchmarks.runs import made_by
from pipeline import PROJECT
from pipeline.config.recipe_file import load_recipe
from pipeline.errors import status_of
from pipeline.plan.run_folder import RESULTS
from pipeline.report.results import shipped_lines

TASKS = {
    "sst2": "recipes/glue/minilm_sst2.yaml",
    "mrpc": "recipes/glue/minilm_mrpc.yaml",
    "stsb": "recipes/glue/minilm_stsb.yaml",
    "embeddings": "recipes/stsb.yaml",
    "wnut17": "recipes/wnut17.yaml",
    "wnut17_small": "recipes/wnut17_small.yaml",
    "xquad": "recipes/xquad.yaml",
    "zh_reviews": "recipes/zh_reviews.yaml",
    "goemotions": "recipes/goemotions.yaml",
}
QUESTIONS = {  # of a task's page, which shows what its student answers
    "goemotions": (
        "Thank you so much, this made my day!",
        "I've never been this sad in my life!",
        "WHY would anyone do that??",
    ),
}
TITLES = {
    "sst2": "sentences (SST-2)",
    "mrpc": "pairs (MRPC)",
    "stsb": "scores of pairs (STS-B)",
    "embeddings": "embeddings (STS-B)",
    "wnut17": "names (WNUT-17)",
    "wnut17_small": "names, 3 layers x 192 (WNUT-17)",
    "xquad": "questions (XQuAD)",
    "zh_reviews": "Chinese reviews",
    "goemotions": "several labels (GoEmotions)",
}
DATA = PROJECT / "data"
SEVERAL_SEEDS = ("mrpc", "stsb", "embeddings", "wnut17", "wnut17_small", "xquad")  # small, so seeds differ
FOLDERS = {"sst2": "glue/SST-2", "mrpc": "glue/MRPC", "stsb": "stsb"}  # where the recipe names the hub
SPLITS = ("train", "dev", "test")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tasks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS), metavar="TASK")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the data sets (data)")
    parser.add_argument("--seeds", type=int, nargs="+", help="0; of small tasks 0, 1 and 2")
    parser.add_argument("--dry-run", action="store_true", help="plan each run, and run nothing")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given, overrides = parser.parse_known_args()
    rows = [
        measured(task, seed, given.data, overrides, dry=given.dry_run)
        for task in given.tasks
        for seed in given.seeds or (range(3) if task in SEVERAL_SEEDS else (0,))
    ]
    for row in rows:
        shown = [(name, value) for name, value in row.items() if not isinstance(value, dict)]
        print("  ".join(f"{name} {value:.4g}" if isinstance(value, float) else str(value) for name, value in shown))
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def measured(task: str, seed: int, data: Path, overrides: Sequence[str], *, dry: bool) -> dict[str, Any]:
    """What the run of a task measured on test rows, or that it was not run."""
    row: dict[str, Any] = {"task": task, "seed": seed}
    if not is_there(task, data):
        return row | {"not_run": f"its data are not in {data} (--data)"}
    recipe = PROJECT / TASKS[task]
    arguments = [*settings_of(task, data), *overrides, "--seed", str(seed), "--name", f"{recipe.stem}-seed-{seed}"]
    plan = run(recipe, arguments, *(["--dry-run"] if dry else []))
    if dry:
        return row | {"not_run": "planned alone (--dry-run)"}
    found = json.loads((plan.run_folder / RESULTS).read_text(encoding="utf-8"))
    shipped = found["shipped"]
    return row | {
        "metric": found["metric"],
        "test_rows": found["rows"],
        "teacher": found["teacher"]["score"],
        "student": found["student"]["score"],
        "ships": shipped["score"],
        "kept": shipped["kept"],
        "times_smaller": shipped["times_smaller"],
        "times_faster": shipped["times_faster"],
        "threads": int(shipped["machine"].split(", ")[1].split()[0]),  # such as 'x86_64, 2 threads, cpu'
        "printed": {"table": shipped_lines(found), "answers": answers(plan.run_folder, QUESTIONS.get(task, ()))},
        "stages": made_by(plan),
        "seconds": round(sum(found["seconds"].values()) + sum(found["start_seconds"].values())),
    }


def answers(run: Path, texts: Sequence[str]) -> list[str]:
    """What the exported student of a run prints for some texts, by its int8 file."""
    if not texts:
        return []
    command = [sys.executable, "-m", "pipeline.predict", str(run / "export_student"), "--onnx", *texts]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT).stdout.splitlines()


def is_there(task: str, data: Path) -> bool:
    """Whether all files of a task are in the folder."""
    if task in FOLDERS:
        return (data / FOLDERS[task]).is_dir()
    return all(path.is_file() for paths in files_of(task, data).values() for path in paths)


def settings_of(task: str, data: Path) -> list[str]:
    """Where the files of a task lie, as settings of its recipe."""
    if task in FOLDERS:
        return data_settings(task, data)
    return [
        word
        for split, paths in files_of(task, data).items()
        for word in (f"--task.{split}", ",".join(str(path.resolve()) for path in paths))
    ]


def files_of(task: str, data: Path) -> dict[str, list[Path]]:
    """The files that a recipe names, by split, in another folder than data/."""
    settings = load_recipe(PROJECT / TASKS[task], []).task
    named = {split: getattr(settings, split) for split in SPLITS}
    return {split: [data / Path(name).relative_to("data") for name in names] for split, names in named.items() if names}


if __name__ == "__main__":
    sys.exit(status_of(main))
