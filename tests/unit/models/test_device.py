"""Torch, nvidia-smi and the launcher agree on the device, or the process ends with a sentence."""

import pytest
import torch

from pipeline.errors import UserError
from pipeline.models import device


@pytest.mark.parametrize(
    ("shown", "usable", "asked", "says"),
    [
        (2, False, "false", r"nvidia-smi shows 2 GPUs, which torch .* cannot use: install a build of torch"),
        (0, True, "false", "torch can use a GPU, but nvidia-smi, .* shows none: install nvidia-smi"),
        (1, True, "true", "ACCELERATE_USE_CPU ask for the CPU on a machine with a GPU"),
    ],
)
def test_who_disagrees_is_named_and_how_to_use_the_cpu(
    monkeypatch: pytest.MonkeyPatch, shown: int, usable: bool, asked: str, says: str
) -> None:
    monkeypatch.setattr(device, "gpu_count", lambda: shown)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: usable)
    monkeypatch.setenv("ACCELERATE_USE_CPU", asked)
    with pytest.raises(UserError, match=rf"{says}.*set CUDA_VISIBLE_DEVICES= to use the CPU"):
        device.compute_device()


def test_the_device_is_the_one_on_which_all_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "false")
    for gpus in (0, 1):
        monkeypatch.setattr(device, "gpu_count", lambda gpus=gpus: gpus)
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpus=gpus: gpus > 0)
        assert device.compute_device().type == ("cuda" if gpus else "cpu")
