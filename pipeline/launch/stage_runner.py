"""What is launched: a stage, or several in turn, from the start of the processes to their end.

    if __name__ == "__main__":
        run_stage("distill_layers", main)      # main(stage) fills stage.output and returns metrics

`accelerate launch -m stages.NAME --recipe R [--section.field value ...]` runs one stage on one process or many, and
`accelerate launch -m stages NAME NAME --recipe R ...` several: each makes its plan anew, and begins as it would alone.
All have the recipe that the launch began with, though its file may be edited meanwhile.
"""

import argparse
import contextlib
import os
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pipeline import in_project
from pipeline.config import Recipe
from pipeline.config.recipe_file import load_recipe
from pipeline.errors import INTERRUPTED, OK, Interrupted, UserError, WorkFailed, failed_file
from pipeline.launch.exit_status import (
    disk_trouble,
    explain,
    is_out_of_memory,
    report_exit,
    survive_closed_readers,
)
from pipeline.launch.launcher import LAUNCHED_AT, command_is_gone, follow_parent, stop_signals
from pipeline.launch.stage_logs import mark
from pipeline.launch.stage_work import Main, stage_of, work
from pipeline.plan.plan import Plan, plan_recipe, reasons
from pipeline.plan.stage_specs import TOKENS_AT_ONCE, StageSpec
from pipeline.plan.stages import STAGES
from pipeline.runtime import processes
from pipeline.runtime.fresh_start import FreshStart
from pipeline.runtime.stage import StopRequest

Expected = Callable[[Plan], Mapping[str, float]]


def run_stage(name: str, main: Main) -> None:
    """Run a stage script and end the process with its status."""
    options, overrides = _parser(f"stages.{name}").parse_known_args()
    _run_to_the_end([name], lambda _: main, options, overrides)


def run_stages(main_of: Callable[[str], Main], expected: Expected) -> None:
    """Run the stages that the command line names, in turn, and end the process with the status of the last one."""
    parser = _parser("stages")
    parser.add_argument("stages", nargs="+", choices=STAGES, metavar="STAGE", help="in the order in which they run")
    options, overrides = parser.parse_known_args()
    _run_to_the_end(options.stages, main_of, options, overrides, expected)


def _parser(module: str) -> argparse.ArgumentParser:
    description = sys.modules["__main__"].__doc__
    parser = argparse.ArgumentParser(
        prog=f"accelerate launch -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recipe", type=Path, required=True, help="the YAML file of the run")
    parser.add_argument("--planned", type=Path, help=argparse.SUPPRESS)  # the recipe as ./run_all.sh planned it
    return parser


def _run_to_the_end(
    names: Sequence[str],
    main_of: Callable[[str], Main],
    options: argparse.Namespace,
    overrides: list[str],
    expected: Expected | None = None,
) -> None:
    follow_parent()
    if command_is_gone():
        os._exit(INTERRUPTED)  # nothing has begun
    survive_closed_readers()  # a checkpoint must not fail because nobody reads the output
    status, heartbeat = OK, None
    try:
        heartbeat = processes.meet_processes(partial(report_exit, of_peer=True))
        run_in_turn(names, main_of, options.recipe, overrides, expected, planned=options.planned)
    except Exception as error:
        failure = None
        if heartbeat and isinstance(error, RuntimeError):  # perhaps a collective whose other side is gone
            failure = heartbeat.peer_failure()
        status, sentence, explained = (*failure, True) if failure else explain(error)
        if not explained:
            traceback.print_exc()
        report_exit(status, sentence, of_peer=failure is not None)
    if heartbeat:
        heartbeat.leave(status)
    sys.stdout.flush()
    os._exit(status)  # a process group that lost a member would wait for it in its destructor


def run_in_turn(
    names: Sequence[str],
    main_of: Callable[[str], Main],
    recipe: Path,
    overrides: list[str],
    expected: Expected | None = None,
    *,
    planned: Path | None = None,
) -> None:
    """Run stages, each with a plan of its own. Raises what ends the first that does not end well.

    Args:
        expected: the seconds that each unfinished stage is likely to take, for the progress bars.
        planned: the recipe with the overrides, as the launching command read it; `recipe` may be edited meanwhile.
    """
    processes.check_same(f"to run {', '.join(names)}")
    begun, stop, fresh = float(os.environ.get(LAUNCHED_AT, time.time())), StopRequest(), FreshStart()
    read = load_recipe(planned) if planned else load_recipe(recipe, overrides)
    seconds: Mapping[str, float] = {}
    if expected and len(names) > 1 and processes.is_main():
        with contextlib.suppress(Exception):  # no guess must end a run
            seconds = expected(plan_recipe(read, checked=False))
        fresh.restore()
    for index, name in enumerate(names):
        processes.in_step(lambda name=name: mark(name))
        after = sum(seconds.get(later, 0.0) for later in names[index + 1 :])
        _run(name, main_of(name), read, recipe, overrides, begun=begun, stop=stop, seconds_after=after)
        begun = time.time()
        fresh.restore()


def _run(
    name: str,
    main: Main,
    read: Recipe,
    recipe: Path,
    overrides: list[str],
    *,
    begun: float,
    stop: StopRequest,
    seconds_after: float,
) -> None:
    plan = plan_recipe(read, checked=False)
    processes.check_shared(Path(plan.recipe.run.artifacts))
    spec = plan.stages.get(name)
    processes.check_same(f"{spec.artifact.fingerprint} of {name}" if spec else f"no {name}")
    to_do = processes.from_main(name in plan.why)  # another run may publish it while the processes make their plans
    if spec is None:
        print(f"[{name}] this recipe does not need the stage", file=sys.stderr)
        return
    if not to_do:
        print(f"[{name}] done already: {spec.artifact.folder}", file=sys.stderr)
        return
    if unfinished := processes.from_main([up for up in spec.reads if up in plan.why]):
        why = processes.from_main(plan.why.get(unfinished[0]))
        raise UserError(
            f"{name} reads {unfinished[0]}, which is not done ({why});"
            f" run ./run_all.sh {recipe} --until {unfinished[-1]} first"
        )
    processes.wait_until_seen([artifact.folder for artifact in plan.upstream(name).values()])
    tracker, curves = plan.recipe.run.tracker, plan.run_folder / "curves"
    accelerator = processes.make_accelerator(tracker=tracker, curves=curves, run=plan.recipe.name, stage=name)
    with spec.artifact.lock() if accelerator.is_main_process else contextlib.nullcontext():
        accelerator.wait_for_everyone()
        if not processes.from_main(name in reasons(plan)):  # another run published it after this one looked
            print(f"[{name}] done meanwhile: {spec.artifact.folder}", file=sys.stderr)
            return
        stage = replace(stage_of(plan, name, accelerator), stop=stop, seconds_after=seconds_after)
        for number in stop_signals():  # to the end of the process: a second signal must not cut the first one's work
            signal.signal(number, stop)
        if stop.came:  # during the stage before, or after it
            raise Interrupted(f"stopped before {name}; the same command goes on")
        stage.say(", ".join(filter(None, [spec.on_this_hardware, processes.cores_in_use(accelerator)])))
        try:
            work(stage, plan, main, command=_command(recipe, overrides), begun=begun)
        except Exception as error:
            if trouble := disk_trouble(error):
                where = failed_file(error) or stage.work
                raise WorkFailed(f"{where}: {trouble}; mend that, and the same command goes on") from error
            if is_out_of_memory(error):
                raise WorkFailed(f"{name} needs more memory than there is{_smaller(spec)}") from error
            raise
    for tracker in accelerator.trackers:  # not end_training(), which ends the process group too
        tracker.finish()


def _smaller(spec: StageSpec) -> str:
    """What holds less at once."""
    asked = {name if "." in name else f"{spec.stage}.{name}": value for name, value in spec.settings.items()}
    halved = [f"{name}: {value // 2}" for name, value in asked.items() if name.endswith(TOKENS_AT_ONCE)]
    if not halved:
        return "; shorter texts (task.max_length) and fewer threads or processes need less"
    return f"; set {', '.join(halved)}, half of what it had"


def _command(recipe: Path, overrides: Sequence[str]) -> str:
    """What a user types, in the project's folder, to get this run."""
    return shlex.join(["./run_all.sh", in_project(recipe.absolute()), *overrides])
