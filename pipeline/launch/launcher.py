"""How stages are launched: the `accelerate launch` command line, its processes, their output and their end."""

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

import yaml

from pipeline import PROJECT
from pipeline.errors import FAILED, INTERRUPTED, OK, UserError, require
from pipeline.hardware import cpu_cores, gpu_count
from pipeline.launch.exit_status import STATUS_FILE
from pipeline.launch.stage_logs import LOGGED, StageLogs
from pipeline.runtime.patience import MEETING_SECONDS

LAUNCHED_AT = "DISTILL_LAUNCHED_AT"  # seconds since the epoch, so that a stage knows what its start cost
LAUNCHED_BY = "DISTILL_LAUNCHED_BY"  # the command's process: its machine, its namespace of process numbers, its number
CPU_ENVIRONMENT = {
    "GOMP_SPINCOUNT": "2000",  # threads wait for the next operation for microseconds: more starves a busy machine
    "MALLOC_MMAP_THRESHOLD_": "1073741824",  # glibc keeps large blocks; asking the system anew costs every page a fault
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "8192",  # shapes vary with the lengths, and each is compiled
}
CLUSTER = re.compile("WORLD_SIZE|RANK|LOCAL_RANK|LOCAL_WORLD_SIZE|(OMPI|PMI|MV2)_.*")  # a job's, not the launcher's
# Threads stay where they are put, and so do processes that are started by them: all stages, and all processes of one,
# would share the core of the launcher's first thread.
BINDING = re.compile("OMP_PROC_BIND|OMP_PLACES|GOMP_CPU_AFFINITY")
# Of Accelerate, for models or machines of another kind.
OTHER_OPTIONS = ("use_deepspeed", "use_fsdp", "use_megatron_lm", "use_parallelism_config", "tpu")
OTHER_TYPES = ("DEEPSPEED", "FSDP", "MEGATRON_LM", "XLA")  # its distributed_type in a configuration file
NO_REPORT = (
    "it ended without a report: it was killed, perhaps because memory ran out, or its launcher's options are wrong"
)
NOT_STARTED = ", or not all machines were started"
GRACE_SECONDS = 120  # for checkpoints after a signal


def launch_command(
    stages: Sequence[str], arguments: Sequence[str], launcher: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """The command that runs stages in turn, and what it changes in the environment.

    Args:
        arguments: of the stages: --recipe R and overrides.
        launcher: the user's options of `accelerate launch`; empty: one process on a CPU, or all GPUs.

    Raises: UserError for an OMP_NUM_THREADS that is no number, for more processes than GPUs or that machines do not
    share equally, and for options or a configuration file that cannot work here.

    A configuration file is always named, else the one in the user's home would be taken. Several processes need
    `--multi_gpu` on CPUs too, with ACCELERATE_USE_CPU=true: beside `--cpu`, NO or MULTI_CPU Accelerate starts one.
    """
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    if not threads.isdecimal() or int(threads) < 1:
        raise UserError(f"OMP_NUM_THREADS is {threads!r}: set it to a number of threads, or unset it")
    values, options = _option_values(launcher), list(launcher)
    changes: dict[str, str] = {}
    gpus = gpu_count()
    if "--config_file" not in values:
        options = [*_device_options(values, gpus), *options]
    settings = {"num_processes": max(1, gpus)} | _settings(options)
    _refuse_what_cannot_work(settings, gpus)
    processes, machines = (_count(settings, name) for name in ("num_processes", "num_machines"))
    require(
        processes % machines == 0,
        f"num_processes: {machines} machines do not share {processes} processes equally; take a multiple of {machines}",
    )
    here = processes // machines
    if 0 < gpus < here and "--config_file" not in values:
        raise UserError(
            f"--num_processes: {here} processes on a machine, which has {gpus} GPU{'s' * (gpus > 1)}; take one for each"
        )
    if processes > 1:
        options = [option for option in options if option not in ("--cpu", "--multi_gpu")] + ["--multi_gpu"]
    if machines > 1 and "--rdzv_conf" not in values:
        options += ["--rdzv_conf", f"timeout={MEETING_SECONDS:.0f}"]
    decided = "--num_cpu_threads_per_process" in values or (gpus and "--config_file" in values)
    if "OMP_NUM_THREADS" not in os.environ and not decided:  # else it takes one, beside GPUs too
        options += ["--num_cpu_threads_per_process", str(max(1, cpu_cores() * machines // processes))]
    if not gpus:
        changes["ACCELERATE_USE_CPU"] = "true"
        changes |= {name: os.environ.get(name, value) for name, value in CPU_ENVIRONMENT.items()}
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", "--quiet"]
    return [*accelerate, *options, "-m", "stages", *stages, *arguments], changes


def _device_options(values: Mapping[str, str], gpus: int) -> list[str]:
    """The configuration file for this machine, and what it leaves open. Args: values: of the user's options."""
    kind = ("cpu", "one_gpu", "multi_gpu")[min(gpus, 2)]
    options = ["--config_file", str(PROJECT / "accelerate_configs" / f"{kind}.yaml")]
    if gpus > 1 and "--num_processes" not in values:
        options += ["--num_processes", str(gpus)]
    if not values.keys() & {"--main_process_port", "--machine_rank", "--num_machines"}:
        options += ["--main_process_port", "0"]  # a free one: two runs on one machine do not meet
    return options


def machines_of(launcher: Sequence[str]) -> int:
    """How many machines the user's options of `accelerate launch` ask for. Raises UserError as `launch_command`."""
    return _count(_settings(launcher), "num_machines")


def _settings(options: Sequence[str]) -> dict[str, Any]:
    """What the configuration file and the options say, by name."""
    values = _option_values(options)
    found = _config_file(values["--config_file"]) if "--config_file" in values else {}
    return found | {name.lstrip("-"): value for name, value in values.items()}


def _count(settings: Mapping[str, Any], name: str) -> int:
    """A number of processes or machines; 1 for what Accelerate will refuse."""
    count = str(settings.get(name, 1))
    return max(1, int(count)) if count.isdecimal() else 1


def _config_file(path: str) -> dict[str, Any]:
    try:
        text = Path(path).read_text(encoding="utf-8")
        found = (json.loads if path.endswith(".json") else yaml.safe_load)(text) or {}
    except OSError as error:
        raise UserError(f"--config_file: {path!r} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise UserError(f"--config_file: {path} is no configuration of Accelerate: give a YAML or JSON file of it")
    return found


def _refuse_what_cannot_work(settings: Mapping[str, Any], gpus: int) -> None:
    """Raises UserError.

    Args:
        settings: of the configuration file and the options, by name.
        gpus: of this machine.
    """
    ways = [name for name in OTHER_OPTIONS if settings.get(name, False) is not False]
    if settings.get("distributed_type") in OTHER_TYPES:
        ways.append(f"distributed_type: {settings['distributed_type']}")
    ways += [name for name in ("parallelism_config", "mpirun_config", "mpirun_hostfile") if settings.get(name)]
    if ways:
        raise UserError(
            f"the launcher's {ways[0]} is not supported: every process holds the whole model, on a CPU or on an NVIDIA"
            " GPU; leave it out"
        )
    require(
        settings.get("mixed_precision") != "fp8",
        "the launcher's mixed_precision: fp8 is not supported: the recipe's `precision` decides; leave it out",
    )
    require(
        not gpus or ("cpu" not in settings and not settings.get("use_cpu")),
        "the launcher's cpu is not supported beside GPUs: leave it out, and set CUDA_VISIBLE_DEVICES= to use the CPU",
    )
    require(
        str(settings.get("max_restarts", 0)) == "0",
        "the launcher's max_restarts is not supported: leave it out, and give the same command again, which goes on",
    )


def _option_values(arguments: Sequence[str]) -> dict[str, str]:
    """Options by name, written with '_', with their value or ''."""
    values: dict[str, str] = {}
    name = ""
    for argument in arguments:
        if argument.startswith("--"):
            name, _, value = argument.partition("=")
            name = "--" + name.removeprefix("--").replace("-", "_")
            values[name] = value
        elif name:
            values[name] = argument
    return values


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
