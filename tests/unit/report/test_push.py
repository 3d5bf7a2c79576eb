"""Publishing the student on the hub: a small one on 127.0.0.1."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.launch import cli
from pipeline.plan.plan import make_plan
from pipeline.plan.run_folder import publish_run
from pipeline.report.push import main
from tests.helpers.fake_hub import TOKEN, answer_of, serve
from tests.helpers.published import EVALUATION, write_stage

NOBODY = "http://127.0.0.1:9"  # no hub answers there


@pytest.fixture
def run(world: Path) -> Path:
    """The folder of a run with a student that is measured, the licences given."""
    folder = world / "runs" / "recipe"
    given = ["--card.teacher_licence", "mit", "--card.data_licence", "mit"]
    publish_run(make_plan(world / "recipe.yaml", given))
    student = write_stage(folder, "distill_predictions", {})
    (student / "model.safetensors").write_bytes(b"weights")
    (student / "onnx").mkdir()
    (student / "onnx" / "model.onnx").write_bytes(b"graph")
    evaluation = write_stage(folder, "evaluate_student", {}, reads="distill_predictions")
    (evaluation / "results.json").write_text(json.dumps(EVALUATION))
    return folder


def push(run: Path, name: str, *, address: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    return answer_of(main, run, name, address=address, home=run.parent / "home", token=token)


def test_the_student_is_published_under_its_name(run: Path, tmp_path: Path) -> None:
    with serve({}, uploads=tmp_path / "hub") as address:
        done = push(run, "owner/small", address=address)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{address}/owner/small/commit/")
    there = tmp_path / "hub/owner/small"
    found = sorted(path.relative_to(there).as_posix() for path in there.rglob("*") if path.is_file())
    assert found == ["README.md", "model.safetensors", "onnx/model.onnx"]  # and no stage.json, which names this machine
    assert 'model="owner/small"' in (there / "README.md").read_text()
    assert (there / "model.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("name", "token", "message"),
    [
        ("owner//small", TOKEN, "is no name of a hub repository: write OWNER/NAME"),
        ("owner/small", "hf_reader", "cannot be written with your token (401)"),
        ("other/small", TOKEN, "cannot be written with your token (403)"),
        ("owner/small", "", "cannot be written without a login: run `hf auth login`, or set HF_TOKEN"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(run: Path, tmp_path: Path, name: str, token: str, message: str) -> None:
    with serve({}, uploads=tmp_path / "hub") as address:
        done = push(run, name, address=address, token=token)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: hub:{name} {message}"), done.stderr
    assert done.stderr.count("\n") == 1


def test_a_run_that_nobody_may_publish_does_not_begin(world: Path, tmp_path: Path) -> None:
    with serve({}, uploads=tmp_path / "hub") as address:
        words = [world / "recipe.yaml", "--push", "owner/small"]
        done = answer_of(cli.main, *words, address=address, home=tmp_path / "home")
    assert done.returncode == 2
    assert done.stderr == (
        "error: hub:owner/small cannot be written without a login: run `hf auth login`, or set HF_TOKEN\n"
    )
    assert not (world / "runs").exists()
    assert not (world / "artifacts").exists()


def test_of_several_machines_the_first_publishes(world: Path, tmp_path: Path) -> None:
    with serve({}, uploads=tmp_path / "hub") as address:
        words = [world / "recipe.yaml", "--push", "owner/small", "--list", "--", "--machine_rank"]
        refused, passed = (
            answer_of(cli.main, *words, rank, address=address, home=tmp_path / "home").returncode for rank in ("0", "1")
        )
    assert (refused, passed) == (2, 0)


def test_no_network_is_one_sentence(run: Path) -> None:
    done = push(run, "owner/small", address=NOBODY)
    assert done.returncode == 2
    assert done.stderr == (
        "error: hub:owner/small is not published: the hub is not reached; check the network or HF_ENDPOINT\n"
    )


def test_an_unknown_licence_is_asked_for(run: Path, world: Path) -> None:
    publish_run(make_plan(world / "recipe.yaml", ["--card.teacher_licence", "mit"]))
    done = push(run, "owner/small", address=NOBODY)
    assert done.returncode == 2
    assert "not every licence is known; give card.data_licence in the recipe (or --card.data_licence" in done.stderr


def test_what_the_card_does_not_know_of_is_named(run: Path, world: Path) -> None:
    other = shutil.copytree(world / "model", world / "other")
    publish_run(make_plan(world / "recipe.yaml", ["--annotate_data.teacher", str(other)], checked=False))
    done = push(run, "owner/small", address=NOBODY)
    assert done.returncode == 2
    assert "give card.teacher_licence and card.other_teacher_licence and card.data_licence in the" in done.stderr


def test_a_run_that_is_not_finished_publishes_nothing(tmp_path: Path) -> None:
    write_stage(tmp_path / "run", "finetune_teacher", {})
    done = push(tmp_path / "run", "owner/small", address=NOBODY)
    assert done.returncode == 2
    assert "has no student that is measured" in done.stderr
