"""Links of runs to artifacts."""

import json
from pathlib import Path

import pytest

from pipeline.artifacts.run_links import link
from pipeline.artifacts.store import Artifact
from pipeline.errors import UserError
from tests.helpers.small_artifacts import publish


def test_a_right_link_is_left_alone_and_a_wrong_one_replaced(artifact: Artifact, tmp_path: Path) -> None:
    publish(artifact)
    place = tmp_path / "runs/mine/distill_layers"
    link(place.parent, artifact)
    number = place.lstat().st_ino
    link(place.parent, artifact)
    assert place.lstat().st_ino == number
    assert json.loads((place / "stage.json").read_text())["stage"] == "distill_layers"

    newer = Artifact(artifact.root, "distill_layers", "beef")
    publish(newer)
    link(place.parent, newer)
    assert place.resolve() == newer.folder
    assert [path.name for path in place.parent.iterdir()] == ["distill_layers"]


def test_a_folder_in_the_place_of_a_link_is_named(artifact: Artifact, tmp_path: Path) -> None:
    publish(artifact)
    (tmp_path / "runs/mine/distill_layers").mkdir(parents=True)  # as `cp -rL` leaves it
    with pytest.raises(UserError, match=r"runs/mine/distill_layers is no link .* remove it"):
        link(tmp_path / "runs/mine", artifact)
    assert [path.name for path in (tmp_path / "runs/mine").iterdir()] == ["distill_layers"]


def test_links_survive_when_the_project_moves(artifact: Artifact, tmp_path: Path) -> None:
    publish(artifact)
    link(tmp_path / "runs/mine", artifact)
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("artifacts", "runs"):
        (tmp_path / name).rename(moved / name)
    assert (moved / "runs/mine/distill_layers/weights").is_file()
