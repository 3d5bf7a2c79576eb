"""What a stage says of itself."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pipeline.launch import stage_work


@pytest.mark.parametrize(
    ("device", "processes", "threads", "said"),
    [
        ("cpu", 1, 1, "1 of 4 cores (OMP_NUM_THREADS=4 takes all)"),
        ("cpu", 2, 1, "2 of 4 cores (OMP_NUM_THREADS=2 takes all)"),
        ("cpu", 2, 2, "4 of 4 cores"),
        ("cuda", 1, 1, ""),
    ],
)
def test_a_stage_says_how_many_cores_compute(
    device: str, processes: int, threads: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    accelerator: Any = SimpleNamespace(device=torch.device(device))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    monkeypatch.setattr(stage_work, "cpu_cores", lambda: 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert stage_work.cores_in_use(accelerator) == said
