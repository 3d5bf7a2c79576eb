"""A launch: its processes, their output, signals to them, and their end."""

import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline import PROJECT
from pipeline.errors import FAILED, INTERRUPTED, OK
from pipeline.launch.exit_status import STATUS_FILE
from pipeline.launch.stage_logs import LOGGED, StageLogs

LAUNCHED_AT = "DISTILL_LAUNCHED_AT"  # seconds since the epoch, so that a stage knows what its start cost
LAUNCHED_BY = "DISTILL_LAUNCHED_BY"  # the command's process: its machine, its namespace of process numbers, its number
CLUSTER = re.compile("WORLD_SIZE|RANK|LOCAL_RANK|LOCAL_WORLD_SIZE|(OMPI|PMI|MV2)_.*")  # a job's, not the launcher's
# Threads stay where they are put, and so do processes that are started by them: all stages, and all processes of one,
# would share the core of the launcher's first thread.
BINDING = re.compile("OMP_PROC_BIND|OMP_PLACES|GOMP_CPU_AFFINITY")
NO_REPORT = (
    "it ended without a report: it was killed, perhaps because memory ran out, or its launcher's options are wrong"
)
NOT_STARTED = ", or not all machines were started"
GRACE_SECONDS = 120  # for checkpoints after a signal


def run_launched(
    command: Sequence[str], changes: Mapping[str, str], logs: StageLogs, machines: int = 1
) -> tuple[int, str]:
    """Run a launcher to its end, its output shown and logged, signals passed on to its whole process group.

    Args: machines: on which it is started.
    Returns: the true exit status of the last stage that began, and the sentence that it reported, or ''.
    """
    with tempfile.TemporaryDirectory(prefix="distill-") as folder:
        environment = dict(os.environ)
        for name in os.environ:
            if CLUSTER.fullmatch(name) or BINDING.fullmatch(name):
                del environment[name]
        environment.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(GRACE_SECONDS - 10))  # else it kills after 30
        environment |= {**changes, STATUS_FILE: f"{folder}/status.json", LAUNCHED_AT: str(time.time()), LOGGED: "1"}
        environment[LAUNCHED_BY] = f"{_numbering()} {os.getpid()}"
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
        with (
            subprocess.Popen(
                list(command),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                preexec_fn=follow_parent,  # noqa: PLW1509 (no other thread runs yet)
            ) as process,
            _signals_go_to(process) as signalled,
        ):
            assert process.stdout is not None
            logs.copy(process.stdout.fileno())
            status = process.wait()
        if status == 0:
            return OK, ""
        reported = _reported(Path(folder), signalled=bool(signalled))
    no_report = NO_REPORT + NOT_STARTED * (machines > 1)
    return reported or ((INTERRUPTED, "") if signalled else (FAILED, no_report))


def _reported(folder: Path, *, signalled: bool) -> tuple[int, str] | None:
    """The status and sentence that the processes reported; of several reports the one that explains the others."""
    reports = []
    for path in sorted(folder.iterdir()):
        with suppress(OSError, ValueError):  # written in part
            reports.append(json.loads(path.read_text(encoding="utf-8")))
    stopped = [report for report in reports if report["status"] == INTERRUPTED]
    of_peers = [report for report in reports if report.get("of_peer") and report not in stopped]
    own = [report for report in reports if report not in of_peers and report not in stopped]
    ordered = [*own, *stopped, *of_peers] if signalled else [*own, *of_peers, *stopped]
    return (ordered[0]["status"], ordered[0]["message"]) if ordered else None


def follow_parent() -> None:
    """Ask Linux for SIGTERM when the process that started this one is gone, however it went."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def command_is_gone() -> bool:
    """Whether the command that launched this process was killed before `follow_parent` could ask for a signal.

    The launcher between the two goes with the command, and this process is then a child of some other one.
    """
    numbering, _, command = os.environ.get(LAUNCHED_BY, "").rpartition(" ")
    if not numbering or numbering != _numbering():  # launched by hand, or its number means another process here
        return False
    above = os.getppid()
    while above not in (0, int(command)):
        try:
            above = int(Path(f"/proc/{above}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()[1])
        except OSError:  # not shown to this user
            return False
    return above == 0


def _numbering() -> str:
    """Where a number means the same process: a machine, and a namespace of it. '' where that is not known."""
    with suppress(OSError):
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    return ""


@contextmanager
def _signals_go_to(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Pass a signal to stop on to the group as SIGTERM, and after GRACE_SECONDS SIGKILL. Yields the signals so far."""
    received: list[int] = []
    kill = threading.Timer(GRACE_SECONDS, _to_group, (process, signal.SIGKILL))
    kill.daemon = True

    def pass_on(number: int, _: Any) -> None:
        received.append(number)
        _to_group(process, signal.SIGTERM)
        if len(received) == 1:
            kill.start()

    with stop_signals_call(pass_on):
        try:
            yield received
        finally:
            kill.cancel()  # its number may soon be another group's


@contextmanager
def stop_signals_call(handler: Callable[[int, Any], object]) -> Iterator[None]:
    """Inside, a signal that asks to stop calls this handler."""
    before = {number: signal.signal(number, handler) for number in stop_signals()}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def stop_signals() -> list[int]:
    """The signals that ask to stop: Ctrl-C, a cluster's preemption, a closed terminal unless `nohup` has it ignored."""
    closed = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *closed]


def _to_group(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
