"""The work of one stage: verify what it reads, call its `main`, publish its artifact."""

import contextlib
import importlib.metadata
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from pipeline import PROJECT
from pipeline.artifacts.atomic import write_atomically
from pipeline.errors import UserError
from pipeline.plan.plan import Plan, reasons
from pipeline.plan.run_folder import publish_run
from pipeline.runtime import processes
from pipeline.runtime.stage import Stage

Main = Callable[[Stage], dict[str, Any]]  # fills stage.output and returns metrics
MADE_FROM = "made_from.json"  # in the work folder: the checksums of what the work was begun with
PACKAGES = ("torch", "transformers", "datasets", "accelerate", "tokenizers", "nltk", "numpy")


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


def work(stage: Stage, plan: Plan, main: Main, *, command: str, begun: float | None = None) -> None:
    """Verify what is read, do the work, check that no input changed since the plan, publish.

    Args: begun: when its launch began, or the stage before it ended; in seconds since the epoch.
    """
    started, clock = time.time(), time.monotonic()
    upstream: dict[str, dict[str, str]] = {}
    if stage.is_main:
        made_from: dict[str, dict[str, Any]] = {}
        for up, artifact in plan.upstream(stage.name).items():
            artifact.verify()
            upstream[up] = {"fingerprint": artifact.fingerprint, "identity": artifact.identity()}
            made_from[up] = (artifact.manifest() or {}).get("files", {})
        _keep_work_made_from(made_from, stage)
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
        "start_seconds": max(0.0, started - (begun or started)),  # the clock may have been set back
        "seconds": seconds,
        "metrics": metrics,
    }
    if stage.is_main:
        _publish(stage, plan, measured)
    stage.accelerator.wait_for_everyone()  # a machine that goes on to the next stage must find this one


def _keep_work_made_from(made_from: Mapping[str, Mapping[str, Any]], stage: Stage) -> None:
    """Work in progress goes on only with what it began with: what it reads may have been made again, as other bytes.

    Args: made_from: the checksums of the files of each artifact that the stage reads.
    """
    path, text = stage.work / MADE_FROM, json.dumps(made_from, indent=1, sort_keys=True)
    before = path.read_text(encoding="utf-8") if path.is_file() else None
    if before not in (None, text):
        stage.say("an artifact that it reads has changed since the interruption: this stage starts over")
    if before != text:
        shutil.rmtree(stage.work, ignore_errors=True)
        write_atomically(path, text)


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
            "machine": processes.machine(stage.accelerator.device.type),
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


def _git_commit() -> str | None:
    command = ["git", "-C", str(PROJECT), "rev-parse", "--verify", "--quiet", "HEAD"]
    with contextlib.suppress(OSError):  # no git on this machine
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None
