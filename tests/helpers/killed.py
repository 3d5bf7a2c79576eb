"""A stage that is killed in the middle, without a launcher: in a copy of the test's own process."""

import os
import signal
import time
from pathlib import Path

from pipeline.plan.stages import STAGES
from tests.helpers.one_process import run_recipe

OFTEN = ("--run.checkpoint_seconds", "0.001")


def kill_in(recipe: Path, stage: str, *, sign: str = "checkpoint-*[0-9]") -> None:
    """Run a recipe, and send SIGKILL as soon as a stage, at work, has a checkpoint (or another file).

    What is before the stage runs in the test's process: a copy of one that has had several threads must take no more
    than one, and a fit takes all cores.
    """
    place = recipe.parent / "artifacts" / stage
    run_recipe(recipe, last=STAGES[STAGES.index(stage) - 1])
    child = os.fork()
    if child == 0:
        try:
            run_recipe(recipe, *OFTEN, last=stage)
        finally:
            os._exit(1)
    end = time.monotonic() + 120
    while not any(place.glob(f"*.work/{sign}")):
        assert time.monotonic() < end and os.waitpid(child, os.WNOHANG) == (0, 0), "it ended too early"
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not list(place.glob("*/stage.json"))
