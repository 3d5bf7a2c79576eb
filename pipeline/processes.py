"""The processes of one stage: what the launcher started, as Accelerate sees it."""

import os
import resource
import sys
from datetime import timedelta
from pathlib import Path

import datasets
import torch
import transformers
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from pipeline.errors import UserError


def make_accelerator(*, tracker: str, curves: Path, stage: str) -> Accelerator:
    """One process, or all that the launcher started.

    Args:
        tracker: where curves go, or 'none'.
        curves: folder of trackers that write files.

    Raises: UserError when N processes each think that they are alone.
    """
    forever = InitProcessGroupKwargs(timeout=timedelta(days=30))  # the launcher ends the others when one process dies
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),
        kwargs_handlers=[forever],
        log_with=None if tracker == "none" else tracker,
        project_dir=str(curves),
    )
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world != accelerator.num_processes:
        raise UserError(
            f"the launcher started {world} processes, but each thinks it is one of {accelerator.num_processes};"
            " on CPUs launch with ACCELERATE_USE_CPU=true and --multi_gpu"
        )
    if tracker != "none" and accelerator.is_main_process:
        accelerator.init_trackers(stage)
    elif tracker != "none":
        accelerator.log_with = []
    quiet_libraries()
    return accelerator


def peak_memory(accelerator: Accelerator) -> dict[str, int]:
    """The most bytes that the processes held so far, summed over them: of the host, and of GPUs as torch allocates."""
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    on_gpu = accelerator.device.type == "cuda"
    most = [host, torch.cuda.max_memory_allocated(accelerator.device) if on_gpu else 0]
    total = accelerator.reduce(torch.tensor(most, dtype=torch.int64, device=accelerator.device), reduction="sum")
    return dict(zip(("host", "gpu"), torch.as_tensor(total).tolist(), strict=True))


def quiet_libraries() -> None:
    """No progress bars and warnings of theirs between ours."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
