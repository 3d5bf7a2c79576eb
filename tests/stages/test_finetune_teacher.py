"""The user's own teacher."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.helpers.one_process import run_recipe

pytestmark = pytest.mark.slow


def weights(run: Path, stage: str) -> dict[str, np.ndarray]:
    found = [path for path in (run / stage).rglob("*.safetensors") if "projections" not in path.name]
    assert len(found) == 1
    return load_file(found[0])


def test_your_own_teacher_is_put_in_the_tasks_order(
    finished: Path, run_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = shutil.copytree((finished / "finetune_teacher").resolve(), tmp_path / "teacher")
    swap_labels(teacher)
    places = ["--run.artifacts", str(tmp_path / "a"), "--run.runs", str(tmp_path / "r")]
    plan = run_recipe(
        run_world / "recipe.yaml", "--finetune_teacher.model", str(teacher), *places, last="finetune_teacher"
    )
    assert "in the order rotten, fresh" in capsys.readouterr().err
    ours, theirs = weights(plan.run_folder, "finetune_teacher"), weights(finished, "finetune_teacher")
    assert np.array_equal(ours["classifier.weight"], theirs["classifier.weight"])


def swap_labels(folder: Path) -> None:
    """The same classifier with its two outputs, and their names, in the other order."""
    from safetensors.numpy import save_file

    tensors = load_file(folder / "model.safetensors")
    for name in ("classifier.weight", "classifier.bias"):
        tensors[name] = tensors[name][::-1].copy()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "rotten", "1": "fresh"}
    config["label2id"] = {"rotten": 0, "fresh": 1}
    (folder / "config.json").write_text(json.dumps(config))
