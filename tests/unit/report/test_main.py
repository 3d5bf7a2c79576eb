"""The command of the report: of one run, and of several side by side."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.artifacts.run_links import link
from pipeline.artifacts.store import OWN_SUM, Artifact
from pipeline.report.__main__ import main
from pipeline.report.run_summary import differences, read_run_summary
from tests.helpers.published import write_manifest, write_stage
from tests.helpers.reported import CASES, TEACHER, Page, write_run


@pytest.mark.parametrize("file", ["results.json", "predictions.parquet"])
def test_damage_is_one_sentence(run: Path, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    evaluation = run / "evaluate_student"
    store = Artifact(run / "store", "evaluate_student", "f" * 16)
    manifest = json.loads((evaluation / "stage.json").read_text())
    del manifest[OWN_SUM]
    store.output.parent.mkdir(parents=True)
    (run / "export_student/stage.json").unlink()
    (evaluation / "stage.json").unlink()
    evaluation.rename(store.output)
    store.publish(manifest)
    link(run, store)
    damaged = store.folder / file
    damaged.write_bytes(b"\xff" * damaged.stat().st_size)
    assert main([str(run)]) == 1
    assert f"failed: {damaged} is damaged and was set aside; the same command" in capsys.readouterr().err


def test_the_command_makes_the_report_without_torch(run: Path) -> None:
    code = (
        "import sys; from pipeline.report.__main__ import main; main(sys.argv[1:]);"
        "print(*sorted({'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True, text=True, check=True)
    assert done.stdout == f"{run / 'report.html'}\n\n"


def test_runs_are_compared_side_by_side(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_run(run.parent / "longer", CASES, labels=["good", "bad"])
    write_manifest(other / "augment_data", settings={"variants": 9})
    write_stage(run.parent / "begun", *TEACHER, learning_rate=1e-4)
    runs = [read_run_summary(run.parent / name) for name in ("reviews", "longer", "begun")]
    assert differences(runs) == {
        "finetune_teacher.learning_rate": ["3e-05", "3e-05", "0.0001"],
        "augment_data.variants": ["1", "9", "–"],
    }
    assert main(["--compare", *(str(run.folder) for run in runs)]) == 0
    assert capsys.readouterr().out == f"{run.parent / 'comparison.html'}\n"
    page = Page((run.parent / "comparison.html").read_text(encoding="utf-8"))
    assert list(page.sections)[1:] == ["Students", "Side by side", "Settings that differ", "Seconds and fingerprints"]
    assert len(page.pictures) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [(["nowhere"], "nowhere is not the folder of a run"), (["a", "b"], "one run at a time, or several with --compare")],
)
def test_a_wrong_folder_is_one_sentence(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_the_first_stage_of_which_the_artifact_is_gone_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    write_stage(run, *TEACHER)
    write_manifest(run / "finetune_teacher", upstream={"prepare_corpus": {"identity": "0" * 64}})
    for stage in ("prepare_corpus", "pretrain_teacher"):
        (run / stage).symlink_to(tmp_path / "gone" / stage)
    assert main([str(run)]) == 2
    assert f"{run}: the artifact of prepare_corpus is gone: the same ./run_all.sh command" in capsys.readouterr().err


@pytest.mark.parametrize(("file", "change"), [
    ("recipe.yaml", lambda _: b"name: \xff"),
    ("finetune_teacher/stage.json", lambda _: b"{}"),
    ("finetune_teacher/stage.json", lambda whole: whole.replace(b"0.9", b"0.8")),
])  # fmt: skip
def test_a_damaged_file_of_the_run_s_folder_is_one_sentence(
    run: Path, file: str, change: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    path = run / file
    path.write_bytes(change(path.read_bytes() if path.exists() else b""))
    assert main([str(run)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {path} is damaged")


def test_a_page_is_not_written_over_a_folder(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run), "--output", str(tmp_path)]) == 2
    assert f"--output: {tmp_path} is a folder; give a file, as {tmp_path}/report.html" in capsys.readouterr().err
