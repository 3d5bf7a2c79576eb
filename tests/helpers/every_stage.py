"""Every stage in turn on one pair of processes, each from the artifacts of a finished run.

accelerate launch --num_processes 2 -m tests.helpers.every_stage RECIPE FOLDER

In FOLDER, STAGE/a holds the artifacts that a stage reads and takes its own; STAGE/r holds its run.
"""

import os
import sys
from importlib import import_module
from pathlib import Path

from pipeline.errors import OK
from pipeline.launch.stage_runner import run_in_turn
from pipeline.plan.stages import STAGES
from pipeline.runtime.processes import meet_processes

if __name__ == "__main__":
    recipe, folder = map(Path, sys.argv[1:])
    watch = meet_processes(lambda *told: None)
    for stage in STAGES:
        places = ["--run.artifacts", str(folder / stage / "a"), "--run.runs", str(folder / stage / "r")]
        run_in_turn([stage], lambda name: import_module(f"stages.{name}").main, recipe, places)
    if watch:
        watch.leave(OK)
    os._exit(OK)  # as a stage ends
