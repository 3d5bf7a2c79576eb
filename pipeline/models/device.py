"""The device that a process computes on: a GPU where nvidia-smi and torch agree that there is one, else the CPU."""

import os

import torch

from pipeline.errors import require
from pipeline.hardware import gpu_count

CPU_INSTEAD = "set CUDA_VISIBLE_DEVICES= to use the CPU"


def check_device() -> None:
    """Raises UserError where nvidia-smi, torch and the launcher differ on whether there are GPUs.

    Precision, micro-batches and processes are planned without torch, by what nvidia-smi shows.
    """
    shown, usable = gpu_count(), torch.cuda.is_available()
    require(
        usable or not shown,
        f"nvidia-smi shows {shown} GPU{'s' * (shown > 1)}, which torch {torch.__version__} cannot use:"
        f" install a build of torch for the driver, or {CPU_INSTEAD}",
    )
    require(
        shown or not usable,
        "torch can use a GPU, but nvidia-smi, by which the precision is chosen, shows none: install nvidia-smi"
        f" (in a container: NVIDIA_DRIVER_CAPABILITIES=compute,utility), or {CPU_INSTEAD}",
    )
    require(
        not usable or os.environ.get("ACCELERATE_USE_CPU", "").lower() not in ("true", "1"),
        f"the launcher's options or ACCELERATE_USE_CPU ask for the CPU on a machine with a GPU: {CPU_INSTEAD}",
    )


def compute_device() -> torch.device:
    """The GPU, where there is one. Raises UserError as `check_device`."""
    check_device()
    return torch.device("cuda" if gpu_count() else "cpu")
