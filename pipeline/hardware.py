"""What this machine multiplies fast, found out without importing torch."""

import errno
import functools
import itertools
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

Precision = Literal["bf16", "fp32"]
GPU_TOKENS = 32_768  # padded tokens at once: with few a GPU waits for the next operation to be asked of it
ANSWER_SECONDS = 30  # for nvidia-smi
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of the container
ROUND = 4  # rows and tokens: oneDNN's bf16 products are slower on odd numbers, and every new shape is compiled


def round_up(length: Any, multiple: int = ROUND) -> Any:
    """A length, or an array of lengths, up to the next multiple."""
    return -(-length // multiple) * multiple


def resolve_precision(asked: Literal["auto", "bf16", "fp32"]) -> Precision:
    """bf16 where the hardware multiplies it (NVIDIA from compute capability 8, CPUs with AMX or AVX512-BF16)."""
    if asked != "auto":
        return asked
    gpus = gpu_capabilities()
    return "bf16" if (min(gpus) >= 8 if gpus else _cpu_has_bf16()) else "fp32"


def resolve_tokens(asked: int | None, *, on_cpu: int) -> int:
    """How many padded tokens go through a model at once: as asked, else what keeps the hardware busy."""
    return asked or (GPU_TOKENS if gpu_count() else on_cpu)


def packing_costs() -> tuple[int, int]:
    """What a packed batch costs, and each bucket in it, in tokens that could be padding instead: on a GPU, launches."""
    return (2048, 2048) if gpu_count() else (0, 128)


@functools.cache
def gpu_capabilities() -> tuple[float, ...]:
    """Compute capability of each NVIDIA GPU that this process may use. Raises TimeoutError where a driver hangs."""
    command = shutil.which("nvidia-smi")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if command is None or visible == "":
        return ()
    query = [command, "--query-gpu=uuid,compute_cap", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=False, timeout=ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        said = f"no answer for {ANSWER_SECONDS} s; set CUDA_VISIBLE_DEVICES= to use the CPU"
        raise TimeoutError(errno.ETIMEDOUT, said, "nvidia-smi") from None
    try:
        lines = answer.stdout.splitlines() if answer.returncode == 0 else []
        found = [(uuid.strip(), float(capability)) for uuid, _, capability in (line.partition(",") for line in lines)]
    except ValueError:
        return ()
    if visible is None:
        return tuple(capability for _, capability in found)
    return tuple(_capability(name, found) for name in _names_that_cuda_shows(visible, [uuid for uuid, _ in found]))


def _names_that_cuda_shows(visible: str, uuids: Sequence[str]) -> list[str]:
    """The names before the first one that names no GPU; none where a name stands twice."""

    def names_one(name: str) -> bool:
        if name.isdecimal():
            return int(name) < len(uuids)
        return any(name.startswith("MIG-") or (name.startswith("GPU-") and uuid.startswith(name)) for uuid in uuids)

    shown = list(itertools.takewhile(names_one, (name.strip() for name in visible.split(","))))
    return shown if len(set(shown)) == len(shown) else []


def _capability(name: str, found: Sequence[tuple[str, float]]) -> float:
    """Of the GPU with that number, or whose UUID begins so; of a part of one (MIG) the least that it may have."""
    if name.isdecimal():
        return found[int(name)][1]
    return min(capability for uuid, capability in found if uuid.startswith(name) or name.startswith("MIG-"))


def gpu_count() -> int:
    """GPUs that this process may use."""
    return len(gpu_capabilities())


@functools.cache
def cpu_cores() -> int:
    """Cores that this process may use: a scheduler or a container may leave it fewer than the machine has."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = CPU_QUOTA.read_text(encoding="ascii").split()  # microseconds; without a limit: max
        return max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return cores


def cpu_name() -> str:
    """What the system calls the CPU."""
    found = re.search(r"^model name\s*:\s*(.+)$", cpu_info(), re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def _cpu_has_bf16() -> bool:
    return "amx_bf16" in cpu_info() or "avx512_bf16" in cpu_info()


@functools.cache
def cpu_info() -> str:
    """What Linux says of the CPUs; elsewhere ''."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
