"""Every stage in a process of its own, one after the other: what a launch of each would do, without its imports.

python -m tests.helpers.each_alone RECIPE FOLDER

The processes are forked before torch has done anything. FOLDER/a takes the artifacts, FOLDER/r holds the run.
"""

import os
import sys
from importlib import import_module
from pathlib import Path

from pipeline.launch.stage_runner import run_in_turn
from pipeline.plan.stages import STAGES
from pipeline.runtime.processes import meet_processes

if __name__ == "__main__":
    recipe, folder = map(Path, sys.argv[1:])
    mains = {stage: import_module(f"stages.{stage}").main for stage in STAGES}
    places = ["--run.artifacts", str(folder / "a"), "--run.runs", str(folder / "r")]
    for stage in STAGES:
        child = os.fork()
        if child == 0:
            meet_processes(lambda *told: None)
            run_in_turn([stage], mains.__getitem__, recipe, places)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status != 0:
            sys.exit(f"{stage} ended with {status}")
