"""What `du` shows and `gc` removes."""

import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import PROJECT
from pipeline.artifacts.__main__ import main
from pipeline.artifacts.run_links import link, note_runs
from pipeline.artifacts.store import Artifact
from pipeline.errors import UserError
from tests.helpers.small_artifacts import names, publish


def test_a_reader_of_du_may_go(artifact: Artifact) -> None:
    publish(artifact)
    du = f"{sys.executable} -m pipeline.artifacts du --root {artifact.root} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", du], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_runs_nothing_is_removed(artifact: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    publish(artifact)
    with pytest.raises(SystemExit) as ended:
        main(["gc", "--root", str(artifact.root), "--runs", str(tmp_path / "nowhere")])
    assert ended.value.code == 2
    assert f"there is no folder {tmp_path / 'nowhere'}" in capsys.readouterr().err
    assert names(artifact) == ["f00d"]


@pytest.mark.parametrize("command", ["du", "gc"])
@pytest.mark.parametrize("name", ["nowhere", "a_file"])
def test_a_store_that_is_no_folder_is_one_sentence(command: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "a_file").touch()
    with pytest.raises(UserError, match=f"^--root: there is no folder {tmp_path / name}$"):
        main([command, "--root", str(tmp_path / name), "--runs", str(tmp_path)])


def test_gc_keeps_what_a_process_works_on(artifact: Artifact, capsys: pytest.CaptureFixture[str]) -> None:
    publish(artifact)
    runs = artifact.root.parent / "runs"
    link(runs / "mine", artifact)
    artifact.output.mkdir(parents=True)  # it is made again, as when what it reads is newer
    with artifact.lock():
        assert main(["gc", "--root", str(artifact.root), "--runs", str(runs)]) == 0
    assert artifact.output.is_dir()
    assert "kept: a process works on it" in capsys.readouterr().out
    assert main(["gc", "--root", str(artifact.root), "--runs", str(runs)]) == 0
    assert names(artifact) == ["f00d", "f00d.lock"]


def test_gc_keeps_what_a_run_links_while_it_is_at_work(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(artifact)
    runs = artifact.root.parent / "runs"
    runs.mkdir()
    monkeypatch.setattr("pipeline.artifacts.__main__._size", lambda _: link(runs / "mine", artifact) or 0)
    assert main(["gc", "--root", str(artifact.root), "--runs", str(runs)]) == 0
    assert names(artifact) == ["f00d"]
    assert "kept: a run uses it by now" in capsys.readouterr().out


def test_gc_keeps_the_work_on_what_is_damaged(artifact: Artifact) -> None:
    (publish(artifact) / "weights").write_text("one two")
    runs = artifact.root.parent / "runs"
    link(runs / "mine", artifact)
    artifact.output.mkdir(parents=True)
    main(["gc", "--root", str(artifact.root), "--runs", str(runs)])
    assert names(artifact) == ["f00d", "f00d.work"]


def test_gc_leaves_alone_what_is_no_artifact(artifact: Artifact) -> None:
    publish(artifact)
    (artifact.root / "stages" / "cafe").mkdir(parents=True)
    runs = artifact.root.parent / "runs"
    (runs / "mine").mkdir(parents=True)
    assert main(["gc", "--root", str(artifact.root.parent), "--runs", str(runs)]) == 0  # one folder too high
    assert main(["gc", "--root", str(artifact.root), "--runs", str(artifact.root)]) == 0
    assert artifact.root.is_dir() and (runs / "mine").is_dir() and (artifact.root / "stages" / "cafe").is_dir()


@pytest.mark.parametrize("folder", ["elsewhere/mine", "runs/group/mine"])
def test_gc_keeps_what_runs_need_wherever_they_lie(artifact: Artifact, tmp_path: Path, folder: str) -> None:
    publish(artifact)
    (tmp_path / "runs").mkdir()
    link(tmp_path / folder, artifact)
    note_runs(artifact.root, (tmp_path / folder).parent)
    assert main(["gc", "--root", str(artifact.root), "--runs", str(tmp_path / "runs")]) == 0
    assert names(artifact) == ["f00d"]


@pytest.mark.parametrize("folder", ["beside/runs", "../elsewhere/runs"])
def test_gc_refuses_while_a_noted_folder_of_runs_is_not_there(artifact: Artifact, tmp_path: Path, folder: str) -> None:
    publish(artifact)
    (tmp_path / "runs").mkdir()
    runs = (tmp_path / folder).resolve()
    link(runs / "mine", artifact)
    note_runs(artifact.root, runs)
    runs.rename(tmp_path / "unmounted")
    [note] = (artifact.root / "cache" / "runs").iterdir()
    gc = ["gc", "--root", str(artifact.root), "--runs", str(tmp_path / "runs")]
    with pytest.raises(UserError, match=f"nothing was removed: runs in {runs} use .*: rm {note}$"):
        main(gc)
    assert names(artifact) == ["f00d"]
    assert main(["du", *gc[1:]]) == 0
    note.unlink()
    assert main(gc) == 0
    assert names(artifact) == []


def test_gc_keeps_what_runs_use_after_their_project_was_moved(artifact: Artifact, tmp_path: Path) -> None:
    publish(artifact)
    project, moved = artifact.root.parent / "project", tmp_path / "moved"
    project.mkdir()
    artifact.root.rename(project / "artifacts")
    artifact = Artifact(project / "artifacts", artifact.stage, artifact.fingerprint)
    link(project / "others" / "mine", artifact)
    note_runs(artifact.root, project / "others")
    project.rename(moved)
    (moved / "runs").mkdir()
    assert main(["gc", "--root", str(moved / "artifacts"), "--runs", str(moved / "runs")]) == 0
    assert (moved / "artifacts" / artifact.stage / "f00d").is_dir()


def test_gc_keeps_what_runs_use_after_the_store_was_moved(artifact: Artifact, tmp_path: Path) -> None:
    publish(artifact)
    publish(Artifact(artifact.root, "augment_data", "beef"))
    link(tmp_path / "runs" / "mine", artifact)
    (tmp_path / "runs" / "mine" / "recipe.yaml").write_text(f"reuse: {artifact.root}/augment_data/beef/data\n")
    artifact.root.rename(tmp_path / "moved")
    assert main(["gc", "--root", str(tmp_path / "moved"), "--runs", str(tmp_path / "runs")]) == 0
    assert sorted(path.name for path in (tmp_path / "moved").glob("*/*")) == ["beef", "f00d"]


def test_gc_keeps_what_a_run_uses_that_lies_elsewhere_and_is_linked(artifact: Artifact, tmp_path: Path) -> None:
    publish(artifact)
    link(tmp_path / "disk" / "mine", artifact)
    (tmp_path / "disk" / "mine" / "recipe.yaml").write_text("name: mine\n")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(tmp_path / "disk" / "mine")
    assert main(["gc", "--root", str(artifact.root), "--runs", str(tmp_path / "runs")]) == 0
    assert names(artifact) == ["f00d"]


def test_gc_refuses_where_a_folder_of_runs_may_not_be_read(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(artifact)
    link(tmp_path / "runs" / "mine", artifact)
    whole = Path.iterdir

    def iterdir(path: Path) -> Iterator[Path]:
        if path.name == "mine":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return whole(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(UserError, match="runs/mine may not be read"):
        main(["gc", "--root", str(artifact.root), "--runs", str(tmp_path / "runs")])
    assert names(artifact) == ["f00d"]


def test_gc_looks_at_the_project_s_store_wherever_it_runs(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(artifact)
    monkeypatch.setattr("pipeline.artifacts.__main__.PROJECT", artifact.root.parent)
    (tmp_path / "elsewhere" / "artifacts").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["du"]) == 0
    assert str(artifact.folder) in capsys.readouterr().out


def test_du_shows_who_links_and_gc_removes_what_no_run_needs(
    artifact: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(artifact)
    publish(artifact)  # leaves an aside
    link(tmp_path / "runs/mine", artifact)
    publish(Artifact(artifact.root, "distill_layers", "beef"))  # of no run
    Artifact(artifact.root, "distill_layers", "cafe").output.mkdir(parents=True)  # in progress
    (artifact.root / "cache/wheels").mkdir(parents=True)
    places = ["--root", str(artifact.root), "--runs", str(tmp_path / "runs")]

    assert main(["du", *places]) == 0
    lines = {line.split("MB")[1].split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines[str(artifact.folder)].endswith("mine")
    assert lines[str(artifact.folder.with_name("beef"))].endswith("no run")
    assert len(names(artifact)) == 4

    assert main(["gc", *places]) == 0
    assert names(artifact) == ["cafe.work", "f00d"]
    work = artifact.folder.with_name("cafe.work")
    assert f"kept: unfinished, and the same settings go on with it; else: rm -r {work}" in capsys.readouterr().out
    assert (artifact.root / "cache/wheels").is_dir()


@pytest.mark.parametrize("in_home", [False, True])
def test_gc_keeps_a_dataset_that_a_run_reuses(
    artifact: Artifact, tmp_path: Path, in_home: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = publish(artifact)
    if in_home:
        monkeypatch.setenv("HOME", str(folder.parent))
        folder = Path("~") / folder.name
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    recipe = tmp_path / "runs" / "mine" / "recipe.yaml"
    recipe.write_text(f'augment_data: {{reuse: {folder}/data}}\nname: "~no-such-user/a\\0"\ncard: "/a\\0b"\n')
    gc = ["gc", "--root", str(artifact.root), "--runs", str(tmp_path / "runs")]
    assert main(gc) == 0
    assert names(artifact) == ["f00d"]
    recipe.write_text("augment_data: {reuse: null}\n")
    assert main(gc) == 0
    assert names(artifact) == []


def test_a_gc_that_was_killed_leaves_what_the_next_one_removes(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = publish(artifact)
    (tmp_path / "runs").mkdir()
    gc = ["gc", "--root", str(artifact.root), "--runs", str(tmp_path / "runs")]

    def killed(path: Path) -> None:
        (path / "stage.json").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pipeline.artifacts.__main__.shutil.rmtree", killed)
        main(gc)
    assert not folder.exists() and names(artifact) != []
    assert main(gc) == 0
    assert names(artifact) == []


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', "[1, 2]", '["/a\\u0000", "b"]'])
@pytest.mark.parametrize("command", ["du", "gc"])
def test_a_damaged_note_of_runs_is_one_sentence(artifact: Artifact, tmp_path: Path, command: str, text: str) -> None:
    (tmp_path / "runs").mkdir()
    note_runs(artifact.root, tmp_path / "runs")
    [note] = (artifact.root / "cache/runs").iterdir()
    note.write_text(text)
    with pytest.raises(UserError, match=f"^{note} is damaged: .* remove the note: rm {note}$"):
        main([command, "--root", str(artifact.root), "--runs", str(tmp_path / "runs")])
