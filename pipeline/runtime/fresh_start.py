"""Several stages in one process: what one leaves behind must neither reach the next nor count as its memory."""

import ctypes
import gc
import random
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

PEAK = "5"  # written to /proc/self/clear_refs: the peak of the resident memory is counted anew from here


class FreshStart:
    """The state in which a new process begins. Make it before the first stage."""

    def __init__(self) -> None:
        self._seed, self._threads = torch.initial_seed(), torch.get_num_threads()

    def restore(self) -> None:
        """After a stage: generators and threads as in a new process, memory given back, its peaks forgotten."""
        torch.manual_seed(self._seed)  # of GPUs too
        np.random.seed(None)
        random.seed()
        torch.set_num_threads(self._threads)
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        with suppress(AttributeError, OSError):  # only glibc has it
            ctypes.CDLL(None).malloc_trim(0)
        with suppress(OSError):  # only Linux has it
            Path("/proc/self/clear_refs").write_text(PEAK, encoding="ascii")
