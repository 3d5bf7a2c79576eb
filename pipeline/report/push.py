"""Publish a run's student on the Hugging Face hub, its model card with it.

    ./run_all.sh RECIPE --push OWNER/NAME
    python -m pipeline.report.push runs/NAME OWNER/NAME      # the same for a run that is finished

The account is that of `hf auth login` or HF_TOKEN. A repository that exists gets one more commit.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.artifacts.run_links import RECIPE
from pipeline.artifacts.store import MANIFEST
from pipeline.errors import UserError, status_of
from pipeline.inputs.hub import check_push, publish
from pipeline.inputs.licences import find_licences
from pipeline.plan.plan import make_plan
from pipeline.report.model_card import CARD, HERE, model_card
from pipeline.report.run_summary import read_run_summary

STUDENTS = ("export_student", "distill_predictions")  # the first that is finished is published


def pusher(name: str) -> Callable[[Path], str]:
    """A function that publishes a run's student under this name. Raises UserError where you may not write there."""
    check_push(name)
    return lambda run_folder: push(run_folder, name)


def push(run_folder: Path, name: str) -> str:
    """Publish the student of a run; returns the address of the commit.

    Raises: UserError where the run is not finished, a licence is not known, or the hub refuses.
    """
    run = read_run_summary(run_folder)
    student = next((stage for stage in STUDENTS if stage in run.stages), None)
    if student is None or "evaluate_student" not in run.stages:
        raise UserError(f"{run_folder} has no student that is measured: finish the run, then publish it")
    plan = make_plan(run_folder / RECIPE, checked=False)
    licences = find_licences(plan.recipe, plan.inputs)
    if unknown := [f"card.{role}_licence" for role, names in licences.items() if not names]:
        raise UserError(
            f"{run_folder}: not every licence is known; give {' and '.join(unknown)} in the recipe"
            f" (or --{unknown[0]} cc-by-4.0), and run it again"
        )
    evaluation, exported = run_folder / "evaluate_student", run.metrics("export_student")
    card = model_card(plan.recipe, plan.inputs, evaluation=evaluation, exported=exported)
    folder = (run_folder / student).resolve()
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (MANIFEST, CARD))
    files: dict[str, Path | bytes] = {path.relative_to(folder).as_posix(): path for path in paths}
    files[CARD] = card.replace(HERE, name).encode()
    return publish(name, files, kind="model", message=f"Student of the run {run.name}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 done, 1 failed at work, 2 bad input."""
    given = parser().parse_args(arguments)
    return status_of(lambda: print(push(given.run, given.name)))


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    options = argparse.ArgumentParser(
        prog="python -m pipeline.report.push", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("run", type=Path, metavar="runs/NAME", help="the folder of a finished run")
    options.add_argument(
        "name", metavar="OWNER/NAME", help="name on the hub; the repository is made if it does not exist"
    )
    return options


if __name__ == "__main__":
    sys.exit(main())
