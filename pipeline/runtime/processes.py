"""The processes of one stage: what the launcher started, as Accelerate sees it."""

import os
import platform
import re
import resource
import secrets
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from accelerate import Accelerator, PartialState
from accelerate.utils import GradientAccumulationPlugin, broadcast_object_list

from pipeline.errors import require
from pipeline.hardware import cpu_cores
from pipeline.models.device import check_device
from pipeline.runtime.heartbeat import FOREVER, Heartbeat, Report, meeting
from pipeline.runtime.patience import NETWORK_DISK_SECONDS

OTHER_WAYS = ("DEEPSPEED", "FSDP", "MEGATRON_LM", "PARALLELISM_CONFIG")  # of sharing a model, as Accelerate names them


def meet_processes(report: Report) -> Heartbeat:
    """Wait for all that the launcher started, on all machines, and start the heartbeat between them.

    Call it before anything that can fail on one process alone: the others would wait for a process that ended early.

    Args: report: takes the exit status and a sentence when this process ends because another one did.
    Raises: UserError when N processes each think that they are alone, or are to share a model in another way; and as
        `pipeline.models.device.check_device`.
    """
    for way in OTHER_WAYS:
        require(
            os.environ.get(f"ACCELERATE_USE_{way}", "").lower() not in ("true", "1"),
            f"the launcher's options or ACCELERATE_USE_{way} ask for {way}, which is not supported here: every process"
            " holds the whole model, so leave it out",
        )
    world = int(os.environ.get("WORLD_SIZE", "1"))
    check_device()
    if torch.cuda.is_available():
        repeat_every_byte()
    with meeting(world, report):
        state = PartialState(cpu=not torch.cuda.is_available(), timeout=FOREVER)
        state.wait_for_everyone()  # on GPUs nothing before this waits for another process
    require(
        world == state.num_processes,
        f"the launcher started {world} processes, but each was told that there are {state.num_processes};"
        " on CPUs launch with ACCELERATE_USE_CPU=true and --multi_gpu",
    )
    return Heartbeat(report)


def make_accelerator(*, tracker: str, curves: Path, run: str, stage: str) -> Accelerator:
    """The accelerator, with the curves' tracker (or 'none') and the folder of trackers that write files.

    TensorBoard's files of a stage get a folder with its name; elsewhere all stages of a run are one project.
    """
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision="no",  # these three: the recipe decides, not the launcher's configuration or the environment
        dynamo_backend="no",
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        log_with=None if tracker == "none" else tracker,
        project_dir=str(curves),
    )
    if tracker != "none" and accelerator.is_main_process:
        accelerator.init_trackers(stage if tracker == "tensorboard" else run)
    elif tracker != "none":
        accelerator.log_with = []
    quiet_libraries()
    return accelerator


def repeat_every_byte() -> None:
    """Leave out kernels of a GPU that add in another order each time: a run that goes on must end like one not killed.

    Call it before the first product of matrices, at which cuBLAS reads the environment.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]


def from_main(value: Any) -> Any:
    """The main process's value, on every process."""
    return broadcast_object_list([value])[0]


def check_same(value: str) -> None:
    """Raises UserError where this process plans something else than the main one, and their work would not fit."""
    main = from_main(value)
    require(
        value == main,
        f"process {PartialState().process_index} on {socket.gethostname()} plans {value}, the main process {main}:"
        " give every machine the same command, inputs, packages and hardware (or set precision: fp32)",
    )


def is_main() -> bool:
    """Whether this is the main process of all machines."""
    return PartialState().is_main_process


def in_step(act: Callable[[], object]) -> None:
    """Act on one process of each machine, while the others wait."""
    state = PartialState()
    if state.is_local_main_process:
        act()
    state.wait_for_everyone()


def wait_until_seen(folders: Sequence[Path]) -> None:
    """Wait for what another machine published a moment ago. Raises UserError where it does not appear."""
    end = time.monotonic() + NETWORK_DISK_SECONDS
    for folder in folders:
        while not folder.exists():
            state = PartialState()
            require(
                time.monotonic() < end,
                f"{folder} is published, but process {state.process_index} on {socket.gethostname()} does not see it:"
                " put run.artifacts on storage that all machines share",
            )
            time.sleep(0.1)


def check_shared(folder: Path) -> None:
    """Raises UserError where a process does not see the files of the main one: what one publishes, all must read."""
    state = PartialState()
    if state.num_processes == 1:
        return
    token, host = from_main((secrets.token_hex(8), socket.gethostname()))
    mark = folder / f".seen-by-all-{token}"
    if state.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
    state.wait_for_everyone()
    end = time.monotonic() + NETWORK_DISK_SECONDS
    while not (seen := mark.exists()) and time.monotonic() < end:
        time.sleep(0.1)
    state.wait_for_everyone()
    if state.is_main_process:
        mark.unlink()
    require(
        seen,
        f"process {state.process_index} on {socket.gethostname()} sees another {folder} than the main process on"
        f" {host}: put run.artifacts and run.runs on storage that all machines share",
    )


def cores_in_use(accelerator: Accelerator) -> str:
    """How many cores the processes of this machine compute with, and what decides it; '' on a GPU."""
    if accelerator.device.type != "cpu":
        return ""
    number = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    used, cores = number * torch.get_num_threads(), cpu_cores()
    return f"{used} of {cores} cores" + (f" (OMP_NUM_THREADS={cores // number} takes all)" if used < cores else "")


def machine(device: str) -> str:
    """What this machine is, and where on it the models are. Args: device: cpu or cuda."""
    return f"{platform.machine()}, {torch.get_num_threads()} threads, {device}"


def peak_memory(accelerator: Accelerator) -> dict[str, int]:
    """The most bytes that the processes held in this stage, summed: of the host, and of GPUs as torch allocates.

    Where the system cannot count anew (`FreshStart`), of the host since the processes started.
    """
    on_gpu = accelerator.device.type == "cuda"
    most = [_host_peak(), torch.cuda.max_memory_allocated(accelerator.device) if on_gpu else 0]
    total = accelerator.reduce(torch.tensor(most, dtype=torch.int64, device=accelerator.device), reduction="sum")
    return dict(zip(("host", "gpu"), torch.as_tensor(total).tolist(), strict=True))


def _host_peak() -> int:
    """The peak of this process's resident memory, in bytes."""
    with suppress(OSError):  # no Linux; getrusage's peak includes the process from which this one was started
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
        if found:
            return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def quiet_libraries() -> None:
    """No progress bars and warnings of theirs between ours."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
