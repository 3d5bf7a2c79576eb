"""Checkpoints inside a training: written whole or not at all, checked when read. No pickle: safetensors and JSON.

    WORK/checkpoint-STEP/             model.safetensors, optimizer.safetensors, [best.safetensors,] state.json
    WORK/.checkpoint-STEP.sha256      their checksums

A checkpoint is written to a temporary folder and sealed (`artifacts.atomic.seal`). Only then older ones go: two stay.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import Tensor, nn

from pipeline.artifacts.atomic import damaged_file, remove, seal, seal_of

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
    remove(building)  # of a process that was killed
    building.mkdir(parents=True)
    save_model(model, str(building / "model.safetensors"))
    save_file(_optimizer_tensors(optimizer), building / "optimizer.safetensors")
    if best is not None:
        save_file(best, building / "best.safetensors")
    (building / "state.json").write_text(json.dumps(state), encoding="utf-8")
    damaged = [folder for folder in checkpoints(work) if folder >= final]  # else this step would not come again
    _remove_sealed(damaged)
    seal(building, final)
    _remove_sealed(checkpoints(work)[:-KEPT])
    return final


def _remove_sealed(folders: list[Path]) -> None:
    for folder in folders:
        remove(folder)
        remove(seal_of(folder))


def checkpoints(work: Path) -> list[Path]:
    """Published checkpoints, oldest first."""
    return sorted(p for p in work.glob("checkpoint-*") if p.suffix != ".tmp")


def latest_checkpoint(work: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint whose every file has its checksum, and what is wrong with newer ones."""
    complaints = []
    for folder in reversed(checkpoints(work)):
        damaged = damaged_file(folder)
        if damaged is None:
            return folder, complaints
        complaints.append(f"{damaged} is damaged; going back to the checkpoint before")
    return None, complaints


def load_checkpoint(
    folder: Path, *, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Any], dict[str, Tensor] | None]:
    """Put weights and optimiser back; returns the state and the best weights so far."""
    load_model(model, folder / "model.safetensors")
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
