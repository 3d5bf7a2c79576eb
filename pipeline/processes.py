"""The processes of one stage: what the launcher started, as Accelerate sees it."""

import os
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


def quiet_libraries() -> None:
    """No progress bars and warnings of theirs between ours."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
