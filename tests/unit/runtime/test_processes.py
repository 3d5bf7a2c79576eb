"""What a stage sets up for its processes."""

import os

import pytest
import torch

from pipeline.runtime.processes import repeat_every_byte


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
