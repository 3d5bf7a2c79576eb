"""Checkpoints give back what was saved, and one that is damaged is noticed and passed over."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pipeline.config.training import Training
from pipeline.launch.exit_status import disk_trouble
from pipeline.training.checkpoints import checkpoints, latest_checkpoint, load_checkpoint, own_tensors, save_checkpoint
from pipeline.training.loop import make_optimizer, train
from tests.helpers.disks import MEGABYTE, Disk, fill
from tests.helpers.one_process import make_stage
from tests.helpers.tiny_job import job, same

FILES = ["best.safetensors", "model.safetensors", "optimizer.safetensors", "state.json"]
SEAL = ".checkpoint-000000002.sha256"


class Tied(nn.Module):
    """Two linear layers of one weight, as an embedding and its decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight

    def forward(self, inputs: Tensor) -> Tensor:
        return self.second(self.first(inputs).tanh())


def trained(*, steps: int, seed: int = 0) -> tuple[Tied, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = Tied()
    optimizer = make_optimizer(model, Training(learning_rate=0.1))
    for _ in range(steps):
        step(model, optimizer)
    return model, optimizer


def step(model: Tied, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.ones(2, 3)).square().sum().backward()
    optimizer.step()


def save(work: Path, *, steps: int) -> Path:
    model, optimizer = trained(steps=steps)
    best = {"first.bias": torch.full((3,), float(steps))}
    return save_checkpoint(work, model=model, optimizer=optimizer, best=best, state={"step": steps, "scores": [0.5]})


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "deleted":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])


def test_weights_moments_state_and_best_weights_come_back(tmp_path: Path) -> None:
    model, optimizer = trained(steps=3)
    folder = save(tmp_path, steps=3)
    other, fresh = trained(steps=0, seed=1)
    state, best = load_checkpoint(folder, model=other, optimizer=fresh)
    assert state == {"step": 3, "scores": [0.5]}
    assert best is not None and best["first.bias"].tolist() == [3, 3, 3]
    step(model, optimizer)
    step(other, fresh)  # the same only with the same moments
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_a_first_checkpoint_has_no_best_weights(tmp_path: Path) -> None:
    model, optimizer = trained(steps=1)
    folder = save_checkpoint(tmp_path, model=model, optimizer=optimizer, best=None, state={"step": 1})
    assert load_checkpoint(folder, model=model, optimizer=optimizer)[1] is None


def test_a_tied_tensor_is_stored_once_and_stays_tied(tmp_path: Path) -> None:
    assert own_tensors(trained(steps=1)[0]).keys() == {"first.weight", "first.bias", "second.bias"}
    other, fresh = trained(steps=0, seed=1)
    load_checkpoint(save(tmp_path, steps=1), model=other, optimizer=fresh)
    assert other.second.weight is other.first.weight


def test_own_tensors_are_a_copy(tmp_path: Path) -> None:
    model, optimizer = trained(steps=1)
    before = own_tensors(model)
    kept = before["first.weight"].clone()
    step(model, optimizer)
    assert torch.equal(before["first.weight"], kept)


@pytest.mark.parametrize("file", [*FILES, SEAL])
@pytest.mark.parametrize("how", ["truncated", "flipped", "deleted"])
def test_a_damaged_file_is_named_and_the_checkpoint_before_is_taken(tmp_path: Path, file: str, how: str) -> None:
    before, newest = save(tmp_path, steps=1), save(tmp_path, steps=2)
    damage((tmp_path if file == SEAL else newest) / file, how)
    found, complaints = latest_checkpoint(tmp_path)
    assert found == before
    (complaint,) = complaints
    assert "checkpoint-000000002" in complaint and "is damaged" in complaint
    assert file in complaint or (file == SEAL and how != "deleted")  # then a file differs from the checksum


def test_without_a_whole_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "nothing yet") == (None, [])
    damage(save(tmp_path, steps=1) / "model.safetensors", "flipped")
    assert latest_checkpoint(tmp_path)[0] is None


def test_one_that_was_being_written_is_ignored_and_written_again(tmp_path: Path) -> None:
    whole = save(tmp_path, steps=1)
    unfinished = tmp_path / "checkpoint-000000002.tmp"
    unfinished.mkdir()
    (unfinished / "model.safetensors").write_bytes(b"half")
    assert latest_checkpoint(tmp_path) == (whole, [])
    assert latest_checkpoint(tmp_path)[0] != save(tmp_path, steps=2)
    assert not unfinished.exists()


def test_only_the_last_two_stay(tmp_path: Path) -> None:
    for steps in (1, 2, 9, 10):
        save(tmp_path, steps=steps)
    assert [folder.name for folder in checkpoints(tmp_path)] == ["checkpoint-000000009", "checkpoint-000000010"]
    assert len(list(tmp_path.iterdir())) == 4  # each with its checksums


def test_a_damaged_checkpoint_that_was_passed_over_is_replaced(tmp_path: Path) -> None:
    save(tmp_path, steps=1)
    damage(save(tmp_path, steps=2) / "state.json", "deleted")
    again = save(tmp_path, steps=2)
    assert latest_checkpoint(tmp_path) == (again, [])


def test_a_damaged_checkpoint_takes_no_place_of_the_two_that_stay(tmp_path: Path) -> None:
    save(tmp_path, steps=1)
    damage(save(tmp_path, steps=9) / "state.json", "deleted")
    for steps in (2, 3):
        save(tmp_path, steps=steps)
    assert [folder.name[-1] for folder in checkpoints(tmp_path)] == ["2", "3"]


def test_nothing_is_pickled(tmp_path: Path) -> None:
    folder = save(tmp_path, steps=1)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    for path in folder.iterdir():
        content = path.read_bytes()
        if path.suffix == ".safetensors":  # the length of a JSON header, the header, numbers
            content = content[8 : 8 + int.from_bytes(content[:8], "little")]
        json.loads(content)


def test_a_training_on_a_full_disk_keeps_its_last_checkpoint_and_goes_on_when_there_is_space(disk: Disk) -> None:
    whole = job()
    folder = disk(4 * MEGABYTE)
    train(whole, make_stage(folder / "whole"))
    ballast = fill(folder, leave=3 * 40 * 1024)  # for two checkpoints, not three
    with pytest.raises(Exception) as raised:
        train(job(), make_stage(folder, checkpoint_seconds=1e-9))
    assert disk_trouble(raised.value) == "No space left on device"
    kept = checkpoints(folder / "work")
    assert latest_checkpoint(folder / "work") == (kept[-1], [])
    ballast.unlink()
    again = job()
    train(again, make_stage(folder, checkpoint_seconds=1e-9))
    assert same(again.model, whole.model)
