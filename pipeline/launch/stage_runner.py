"""How a stage script runs: plan the recipe, do the stage's work, publish its artifact, end with its status.

    if __name__ == "__main__":
        run_stage("distill_layers", main)      # main(stage) fills stage.output and returns metrics

Launched by `accelerate launch -m stages.NAME --recipe R [--section.field value ...]`, on one process or many.
"""

import argparse
import contextlib
import importlib.metadata
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from pipeline import PROJECT
from pipeline.errors import OK, UserError, WorkFailed
from pipeline.launch.exit_status import disk_trouble, explain, report_exit, survive_closed_readers
from pipeline.launch.launcher import LAUNCHED_AT, follow_parent, stop_signals
from pipeline.plan.plan import Plan, make_plan, reasons
from pipeline.plan.run_folder import publish_run
from pipeline.runtime import processes
from pipeline.runtime.stage import Stage

PACKAGES = ("torch", "transformers", "datasets", "accelerate", "tokenizers", "nltk", "numpy")


def run_stage(name: str, main: Callable[[Stage], dict[str, Any]]) -> None:
    """Run a stage script and end the process with its status."""
    description = sys.modules["__main__"].__doc__
    parser = argparse.ArgumentParser(prog=f"accelerate launch -m stages.{name}", description=description)
    parser.add_argument("--recipe", type=Path, required=True, help="the YAML file of the run")
    options, overrides = parser.parse_known_args()
    follow_parent()
    survive_closed_readers()  # a checkpoint must not fail because nobody reads the output
    status, heartbeat = OK, None
    try:
        heartbeat = processes.meet_processes(partial(report_exit, of_peer=True))
        _run(name, main, options.recipe, overrides)
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


def _run(name: str, main: Callable[[Stage], dict[str, Any]], recipe: Path, overrides: list[str]) -> None:
    plan = make_plan(recipe, overrides, checked=False)
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
    if unfinished := [up for up in spec.reads if up in plan.why]:
        raise UserError(
            f"{name} reads {unfinished[0]}, which is not done ({plan.why[unfinished[0]]});"
            f" run ./run_all.sh {recipe} --until {unfinished[-1]} first"
        )
    tracker, curves = plan.recipe.run.tracker, plan.run_folder / "curves"
    accelerator = processes.make_accelerator(tracker=tracker, curves=curves, run=plan.recipe.name, stage=name)
    with spec.artifact.lock() if accelerator.is_main_process else contextlib.nullcontext():
        accelerator.wait_for_everyone()
        if not processes.from_main(name in reasons(plan)):  # another run published it after this one looked
            print(f"[{name}] done meanwhile: {spec.artifact.folder}", file=sys.stderr)
            return
        stage = stage_of(plan, name, accelerator)
        for number in stop_signals():  # to the end of the process: a second signal must not cut the first one's work
            signal.signal(number, lambda *_: stage.ask_to_stop())
        if spec.on_this_hardware:
            stage.say(spec.on_this_hardware)
        try:
            work(stage, plan, main, command=_command(recipe, overrides))
        except Exception as error:
            if trouble := disk_trouble(error):
                where = getattr(error, "filename", None) or stage.work
                raise WorkFailed(f"{where}: {trouble}; mend that, and the same command goes on") from error
            raise
    for tracker in accelerator.trackers:  # not end_training(), which ends the process group too
        tracker.finish()


def stage_of(plan: Plan, name: str, accelerator: Accelerator) -> Stage:
    """A stage of a plan, ready to work."""
    spec = plan.stages[name]
    return Stage(
        recipe=plan.recipe,
        spec=spec,
        inputs=plan.inputs,
        upstream={up: artifact.folder for up, artifact in plan.upstream(name).items()},
        accelerator=accelerator,
        work=spec.artifact.work,
        output=spec.artifact.output,
    )


def work(stage: Stage, plan: Plan, main: Callable[[Stage], dict[str, Any]], *, command: str) -> None:
    """Verify what is read, do the work, check that no input changed since the plan, publish."""
    started, clock = time.time(), time.monotonic()
    launched = float(os.environ.get(LAUNCHED_AT, started))
    upstream: dict[str, dict[str, str]] = {}
    if stage.is_main:
        for up, artifact in plan.upstream(stage.name).items():
            artifact.verify()
            upstream[up] = {"fingerprint": artifact.fingerprint, "identity": artifact.identity()}
        shutil.rmtree(stage.output, ignore_errors=True)
        stage.output.mkdir(parents=True)
    stage.accelerator.wait_for_everyone()
    earlier = _seconds_before(stage.work)
    try:
        metrics = main(stage)
    finally:
        seconds = earlier + time.monotonic() - clock
        if stage.is_main:
            with contextlib.suppress(OSError):  # it must not hide what went wrong
                (stage.work / "seconds").write_text(str(seconds), encoding="utf-8")
    measured = {
        "upstream": upstream,
        "peak_memory_bytes": processes.peak_memory(stage.accelerator),
        "command": command,
        "started": started,
        "start_seconds": max(0.0, started - launched),  # the clock may have been set back
        "seconds": seconds,
        "metrics": metrics,
    }
    if stage.is_main:
        _publish(stage, plan, measured)
    stage.accelerator.wait_for_everyone()  # a machine that goes on to the next stage must find this one


def _publish(stage: Stage, plan: Plan, measured: dict[str, Any]) -> None:
    for role, path in stage.spec.files.items():
        if plan.book.file(path, fresh=True) != stage.spec.digests[role]:
            plan.book.save()  # its size, time and inode may be the same: the next plan must not trust the old digest
            raise UserError(f"{path} ({role}) changed while {stage.name} read it; nothing was published, run again")
    stage.spec.artifact.publish(
        {
            "stage": stage.name,
            "version": stage.spec.version,
            "fingerprint": stage.spec.artifact.fingerprint,
            "settings": stage.spec.settings,
            "inputs": stage.spec.digests,
            "packages": {package: importlib.metadata.version(package) for package in PACKAGES},
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, {stage.accelerator.device.type}",
            "processes": stage.accelerator.num_processes,
            "git_commit": _git_commit(),
            **measured,
        }
    )
    publish_run(replace(plan, why=reasons(plan)))
    worked, to_start = f"{measured['seconds']:.0f} s", f"{measured['start_seconds']:.1f} s"
    stage.say(f"published {stage.spec.artifact.folder} after {worked}, and {to_start} to start")


def _seconds_before(work: Path) -> float:
    """Seconds that interrupted attempts already took."""
    with contextlib.suppress(OSError, ValueError):
        return float((work / "seconds").read_text(encoding="utf-8"))
    return 0.0


def _command(recipe: Path, overrides: Sequence[str]) -> str:
    """What a user types, in the project's folder, to get this run."""
    path = recipe.resolve()
    path = path.relative_to(PROJECT) if PROJECT in path.parents else path
    return shlex.join(["./run_all.sh", str(path), *overrides])


def _git_commit() -> str | None:
    command = ["git", "-C", str(PROJECT), "rev-parse", "--verify", "--quiet", "HEAD"]
    with contextlib.suppress(OSError):  # no git on this machine
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None
