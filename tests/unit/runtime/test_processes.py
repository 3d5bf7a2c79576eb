"""What a stage sets up for its processes."""

import os

import pytest
import torch

from pipeline.errors import UserError
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
