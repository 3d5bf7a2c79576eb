"""What is multiplied fast, and by what: GPUs are asked of nvidia-smi, and seen as CUDA sees them."""

import os
from pathlib import Path

import pytest

from pipeline import hardware


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An nvidia-smi that knows a GPU of capability 9.0, and after it one of 7.5."""
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho GPU-5ebe9d1a, 9.0\necho GPU-77aa0c42, 7.5\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    hardware.gpu_capabilities.cache_clear()


def test_a_gpu_takes_more_tokens_at_once_where_none_are_asked_for(
    two_gpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert hardware.resolve_tokens(None, on_cpu=2048) == hardware.GPU_TOKENS
    assert hardware.resolve_tokens(512, on_cpu=2048) == 512
    hardware.gpu_capabilities.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert hardware.resolve_tokens(None, on_cpu=2048) == 2048
    hardware.gpu_capabilities.cache_clear()


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, (9.0, 7.5)),
        ("", ()),
        ("-1", ()),
        ("0", (9.0,)),
        ("1", (7.5,)),
        ("1,0", (7.5, 9.0)),
        ("0,-1,1", (9.0,)),
        ("1,7", (7.5,)),
        ("GPU-5ebe9d", (9.0,)),
        ("GPU-77aa0c42,GPU-5ebe9d1a", (7.5, 9.0)),
        ("GPU-0000", ()),
        ("MIG-31f2", (7.5,)),
        ("7,0", ()),
        ("0,none,1", (9.0,)),
        ("NoDevFiles", ()),
        ("0,0", ()),
        ("GPU-5ebe9d,GPU-5ebe9d", ()),
    ],
)
def test_gpus_are_those_that_cuda_shows(
    two_gpus: None, monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: tuple[float, ...]
) -> None:
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert hardware.gpu_capabilities() == expected
    hardware.gpu_capabilities.cache_clear()


def test_a_gpu_that_does_not_answer_ends_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(hardware, "ANSWER_SECONDS", 0.1)
    hardware.gpu_capabilities.cache_clear()
    with pytest.raises(TimeoutError, match=r"no answer for 0\.1 s") as error:
        hardware.gpu_count()
    assert error.value.filename == "nvidia-smi"
    hardware.gpu_capabilities.cache_clear()


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 6), ("200000 100000", 2), ("50000 100000", 1), ("900000 100000", 6), (None, 6)],
)
def test_cores_are_those_that_this_process_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(hardware, "CPU_QUOTA", tmp_path / "cpu.max")
    if quota:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert hardware.cpu_cores.__wrapped__() == expected
