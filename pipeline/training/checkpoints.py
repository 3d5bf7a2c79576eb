"""Checkpoints inside a training: written whole or not at all, checked when read. No pickle: safetensors and JSON.

    WORK/checkpoint-STEP/   model.safetensors, optimizer.safetensors, [best.safetensors,] state.json, manifest.json

A checkpoint is written to a temporary folder, checksummed, fsynced, renamed. Only then older ones go: two stay.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.artifacts.atomic import checksum, sync_folder, write_atomically

KEPT = 2


def save_checkpoint(
    work: Path,
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: dict[str, Tensor] | None,
    state: dict[str, Any],
) -> Path:
    """Write checkpoint-STEP for `state["step"]` and remove all but the last two."""
    final = work / f"checkpoint-{state['step']:09d}"
    building = work / f"{final.name}.tmp"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    save_file(own_tensors(model), building / "model.safetensors")
    save_file(_optimizer_tensors(optimizer), building / "optimizer.safetensors")
    if best is not None:
        save_file(best, building / "best.safetensors")
    (building / "state.json").write_text(json.dumps(state), encoding="utf-8")
    sums = {path.name: checksum(path) for path in sorted(building.iterdir())}
    sync_folder(building)
    write_atomically(building / "manifest.json", json.dumps(sums))
    for passed_over in checkpoints(work):  # a training never comes to the same step twice, but after damage
        if passed_over >= final:
            shutil.rmtree(passed_over)
    building.rename(final)
    for old in checkpoints(work)[:-KEPT]:
        shutil.rmtree(old)
    return final


def checkpoints(work: Path) -> list[Path]:
    """Published checkpoints, oldest first."""
    return sorted(p for p in work.glob("checkpoint-*") if p.suffix != ".tmp")


def latest_checkpoint(work: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint whose every file has its checksum, and what is wrong with newer ones."""
    complaints = []
    for folder in reversed(checkpoints(work)):
        wrong = _damage(folder)
        if wrong is None:
            return folder, complaints
        complaints.append(f"{folder / wrong} is damaged; going back to the checkpoint before")
    return None, complaints


def _damage(folder: Path) -> str | None:
    try:
        sums = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "manifest.json"
    return next((n for n, s in sums.items() if not (folder / n).is_file() or checksum(folder / n) != s), None)


def load_checkpoint(
    folder: Path, *, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Any], dict[str, Tensor] | None]:
    """Put weights and optimiser back; returns the state and the best weights so far."""
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)  # tied tensors are stored once
    _load_optimizer(optimizer, load_file(folder / "optimizer.safetensors"))
    best = folder / "best.safetensors"
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    return state, load_file(best) if best.exists() else None


def own_tensors(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the state on the CPU in which tensors that share memory appear once."""
    seen: set[int] = set()
    tensors = {}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            tensors[name] = tensor.detach().cpu().clone().contiguous()
    return tensors


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """AdamW's moments as `PARAMETER.KIND`; the parameter groups are made anew from the recipe."""
    state = optimizer.state_dict()["state"]
    return {f"{n}.{kind}": t.detach().cpu().contiguous() for n, kinds in state.items() for kind, t in kinds.items()}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, kind = name.split(".")
        state.setdefault(int(number), {})[kind] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
