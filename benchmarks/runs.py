"""Finished runs of the pipeline, as benchmarks read them."""

from pathlib import Path

from pipeline.errors import UserError
from pipeline.plan.plan import Plan


def published(plan: Plan, stage: str) -> Path:
    """The folder of a stage's artifact. Raises: UserError, which says what to run, where it is not there."""
    artifact = plan.stages[stage].artifact
    if artifact.manifest() is None:
        raise UserError(
            f"{artifact.folder}: {stage} of these settings is not there; run `./run_all.sh RECIPE --until {stage}` with"
            " the same settings first"
        )
    return artifact.folder
