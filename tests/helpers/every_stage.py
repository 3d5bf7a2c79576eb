"""Every stage in turn on one pair of processes, each from the artifacts of a finished run.

accelerate launch --num_processes 2 -m tests.helpers.every_stage RECIPE FOLDER DECODER

In FOLDER, STAGE/a holds the artifacts that a stage reads and takes its own; STAGE/r holds its run. DECODER is the
recipe of a decoder, whose stages go on from each other in FOLDER/decoder.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from pipeline.errors import OK
from pipeline.launch.stage_runner import run_in_turn
from pipeline.plan.stages import STAGES
from pipeline.runtime.processes import meet_processes

OF_DECODERS = ["prepare_corpus", "pretrain_teacher", "distill_general"]

if __name__ == "__main__":
    recipe, folder, decoder = map(Path, sys.argv[1:])
    watch = meet_processes(lambda *told: None)

    def run(stages: Sequence[str], recipe: Path, place: Path) -> None:
        places = ["--run.artifacts", str(place / "a"), "--run.runs", str(place / "r")]
        run_in_turn(stages, lambda name: import_module(f"stages.{name}").main, recipe, places)

    for stage in STAGES:
        run([stage], recipe, folder / stage)
    run(OF_DECODERS, decoder, folder / "decoder")
    if watch:
        watch.leave(OK)
    os._exit(OK)  # as a stage ends
