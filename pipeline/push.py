"""Publish a run's student on the Hugging Face hub, its model card with it.

    ./run_all.sh RECIPE --push OWNER/NAME
    python -m pipeline.push runs/NAME OWNER/NAME      # the same, of a run that is finished

Whoever publishes is whom `hf auth login` or HF_TOKEN says. A repository that is there gets one more commit.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pipeline.artifacts import MANIFEST
from pipeline.card import CARD, HERE, UNKNOWN, model_card
from pipeline.errors import BAD_INPUT, OK, UserError
from pipeline.facts import read_facts
from pipeline.plan import make_plan
from pipeline.runs import RECIPE

STUDENTS = ("export_student", "distill_predictions")  # the first that a run has
Result = TypeVar("Result")


def check_push(name: str) -> None:
    """Raises UserError for a name that is none, or where nobody is logged in; before a run that ends with a push."""
    from huggingface_hub import HfApi  # noqa: PLC0415 (a run that publishes nothing does not wait for it)
    from huggingface_hub.utils import validate_repo_id  # noqa: PLC0415

    _explained(name, lambda: validate_repo_id(name))
    _explained(name, lambda: HfApi().whoami())


def push(run_folder: Path, name: str) -> str:
    """Publish; returns the commit's address.

    Raises: UserError where the run is not finished, a licence is not known, or the hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi  # noqa: PLC0415

    facts = read_facts(run_folder)
    student = next((stage for stage in STUDENTS if stage in facts.stages), None)
    if student is None or "evaluate_student" not in facts.stages:
        raise UserError(f"{run_folder} has no student that is measured: finish the run, then publish it")
    plan = make_plan(run_folder / RECIPE, checked=False)
    exported = facts.stages.get("export_student", {}).get("metrics")
    card = model_card(plan.recipe, plan.inputs, evaluation=run_folder / "evaluate_student", exported=exported)
    if UNKNOWN in card:
        raise UserError(
            f"{run_folder}: the licence of the teacher or of the data is not known; give card.teacher_licence and"
            " card.data_licence in the recipe (or --card.data_licence cc-by-4.0), and run it again"
        )
    check_push(name)
    folder = (run_folder / student).resolve()
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (MANIFEST, CARD))
    added = [CommitOperationAdd(path.relative_to(folder).as_posix(), path) for path in files]
    added.append(CommitOperationAdd(CARD, card.replace(HERE, name).encode()))
    api = HfApi()
    _explained(name, lambda: api.create_repo(name, exist_ok=True))
    message = f"Student of the run {facts.name}"
    return _explained(name, lambda: api.create_commit(name, added, commit_message=message)).commit_url


def _explained(name: str, call: Callable[[], Result]) -> Result:
    """The call's result, its errors turned into one sentence."""
    from httpx2 import HTTPError  # noqa: PLC0415
    from huggingface_hub import errors  # noqa: PLC0415

    try:
        return call()
    except errors.HFValidationError:
        reason = "is no name of a hub repository: write OWNER/NAME"
    except errors.LocalTokenNotFoundError:
        reason = "cannot be written by nobody: run `hf auth login`, or set HF_TOKEN"
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        reason = f"is refused by the hub ({status}): {error.server_message or 'no reason given'}"
        if status in (401, 403):
            reason = f"cannot be written with your token ({status}): give one that may write there, by `hf auth login`"
    except (HTTPError, OSError):
        reason = "is not published: the hub is not reached; check the network or HF_ENDPOINT"
    raise UserError(f"--push {name} {reason}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 done, 2 bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.push", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="runs/NAME")
    parser.add_argument("name", metavar="OWNER/NAME")
    given = parser.parse_args(arguments)
    try:
        print(push(given.run, given.name))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    return OK


if __name__ == "__main__":
    sys.exit(main())
