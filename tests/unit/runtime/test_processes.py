"""What a stage sets up for its processes."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pipeline.errors import UserError
from pipeline.runtime import processes
from pipeline.runtime.processes import OTHER_WAYS, meet_processes, repeat_every_byte


def test_on_a_gpu_only_repeatable_kernels_are_taken_and_the_user_s_workspace_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    try:
        for given, expected in ((None, ":4096:8"), (":16:8", ":16:8")):
            monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
            if given:
                monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", given)
            repeat_every_byte()
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == expected
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("way", OTHER_WAYS)
def test_another_way_to_share_a_model_is_refused(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setenv(f"ACCELERATE_USE_{way}", "true")
    with pytest.raises(UserError, match=f"ask for {way}, which is not supported here"):
        meet_processes(lambda *_: None)


@pytest.mark.parametrize("shared", [True, False])
def test_the_mark_on_a_shared_disk_is_removed_once_all_have_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    met: list[list[str]] = []  # what lies there whenever all processes meet

    def meet() -> None:
        met.append(names())

    def names() -> list[str]:
        return [path.name.rpartition("-")[0] for path in tmp_path.iterdir()]

    state = SimpleNamespace(num_processes=2, is_main_process=shared, process_index=1, wait_for_everyone=meet)
    monkeypatch.setattr(processes, "PartialState", lambda: state)
    monkeypatch.setattr(processes, "from_main", lambda value: value)
    monkeypatch.setattr(processes, "NETWORK_DISK_SECONDS", 0.0)
    if shared:
        processes.check_shared(tmp_path)
        assert met == [[".seen-by-all"], [".seen-by-all"]]
    else:
        with pytest.raises(UserError, match=f"process 1 on .* sees another {tmp_path} than the main process"):
            processes.check_shared(tmp_path)
        assert len(met) == 2  # it fails after the main process heard that it has looked
    assert names() == []


@pytest.mark.parametrize(
    ("device", "number", "threads", "said"),
    [
        ("cpu", 1, 1, "1 of 4 cores (OMP_NUM_THREADS=4 takes all)"),
        ("cpu", 2, 1, "2 of 4 cores (OMP_NUM_THREADS=2 takes all)"),
        ("cpu", 2, 2, "4 of 4 cores"),
        ("cuda", 1, 1, ""),
    ],
)
def test_a_stage_says_how_many_cores_compute(
    device: str, number: int, threads: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    accelerator: Any = SimpleNamespace(device=torch.device(device))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(number))
    monkeypatch.setattr(processes, "cpu_cores", lambda: 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert processes.cores_in_use(accelerator) == said
