"""The artifact store: fingerprints, publishing, damage, locks, links."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.artifacts import store
from pipeline.artifacts.store import Artifact, fingerprint
from pipeline.errors import UserError, WorkFailed
from tests.helpers.small_artifacts import names, publish

MADE_BY: dict[str, Any] = {
    "stage": "distill_layers",
    "version": 1,
    "settings": {"epochs": 1, "task": {"label": "a", "text": "b"}},
    "upstream": {"augment_data": "0" * 16, "distill_general": "1" * 16},
    "files": {"task.train/0/rows.csv": "ab", "task.dev/0/rows.csv": "cd"},
}
HOLD = """
import sys
from pathlib import Path
from pipeline.artifacts.store import Artifact

with Artifact(Path(sys.argv[1]), "distill_layers", "f00d").lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_fingerprint_does_not_depend_on_order() -> None:
    shuffled: dict[str, Any] = {
        key: dict(reversed(part.items())) if isinstance(part, dict) else part for key, part in MADE_BY.items()
    }
    assert fingerprint(**shuffled) == fingerprint(**MADE_BY)


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "distill_predictions"},
        {"version": 2},
        {"settings": {"epochs": 2, "task": {"label": "a", "text": "b"}}},
        {"upstream": {"augment_data": "0" * 16, "distill_general": "2" * 16}},
        {"files": {"task.train/0/rows.csv": "ab", "task.dev/0/rows.csv": "ce"}},
        {"files": {"task.train/0/rows.csv": "cd", "task.dev/0/rows.csv": "ab"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_fingerprint_changes_with_everything_it_covers(change: dict) -> None:
    assert fingerprint(**MADE_BY | change) != fingerprint(**MADE_BY)


def test_whoever_may_read_an_artifact_s_folder_may_read_its_files(artifact: Artifact) -> None:
    artifact.output.mkdir(parents=True, mode=0o750)
    (artifact.output / "model.safetensors").write_text("one two three")
    (artifact.output / "model.safetensors").chmod(0o600)
    artifact.publish({"stage": artifact.stage})
    assert (artifact.folder / "model.safetensors").stat().st_mode & 0o777 == 0o640


def test_publishing_is_one_rename_of_the_output(artifact: Artifact) -> None:
    artifact.output.mkdir(parents=True)
    (artifact.work / "checkpoint").write_text("half")
    number = artifact.output.stat().st_ino
    artifact.publish({"metrics": {"score": 0.5}})
    assert artifact.folder.stat().st_ino == number
    assert names(artifact) == ["f00d"]  # and no work
    assert artifact.manifest() == {"metrics": {"score": 0.5}, "files": {}}


def test_the_manifest_is_written_when_everything_else_is_on_the_disk(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(
        "pipeline.artifacts.store.sync_tree", lambda folder: synced.extend(p.name for p in folder.iterdir())
    )
    publish(artifact, weights="one", vocabulary="two")
    assert sorted(synced) == ["vocabulary", "weights"]
    assert (artifact.folder / "stage.json").is_file()


def test_a_crash_while_publishing_publishes_nothing(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(store, "sync_tree", full)
    with pytest.raises(OSError, match="disk full"):
        publish(artifact)
    assert artifact.manifest() is None
    assert names(artifact) == ["f00d.work"]


def test_publishing_again_sets_the_old_one_aside(artifact: Artifact) -> None:
    publish(artifact, weights="old")
    old = artifact.identity()
    publish(artifact, weights="new")
    assert (artifact.folder / "weights").read_text() == "new"
    assert artifact.identity() != old
    (aside,) = artifact.folder.parent.glob("f00d.aside-*")
    assert (aside / "weights").read_text() == "old"


def test_an_intact_artifact_misses_nothing(artifact: Artifact) -> None:
    publish(artifact)
    assert artifact.missing() is None
    artifact.verify()


def test_a_deleted_and_a_truncated_file_are_found_without_reading(artifact: Artifact) -> None:
    weights = publish(artifact) / "weights"
    weights.write_text("one two")
    assert artifact.missing() == "weights"
    weights.unlink()
    assert artifact.missing() == "weights"
    with pytest.raises(WorkFailed, match=r"weights is damaged and was set aside; the same command makes distill_lay"):
        artifact.verify()
    assert not artifact.folder.exists()


def test_damage_on_a_disk_that_cannot_be_written_is_named(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = publish(artifact) / "weights"
    weights.write_text("one two")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(store.FileLock, "acquire", refuse)
    with pytest.raises(WorkFailed, match=rf"{weights} is damaged, .* be set aside \(Read-only file system\): remove"):
        artifact.verify()


def test_who_may_write_the_folder_may_take_the_lock(artifact: Artifact) -> None:
    artifact.folder.parent.mkdir(parents=True)
    artifact.folder.parent.chmod(0o770)
    with artifact.lock():
        assert artifact.lock_file.stat().st_mode & 0o777 == 0o660


def test_a_flipped_bit_is_found_by_reading(artifact: Artifact) -> None:
    weights = publish(artifact) / "weights"
    content = bytearray(weights.read_bytes())
    content[3] ^= 1
    weights.write_bytes(content)
    assert artifact.missing() is None
    with pytest.raises(WorkFailed, match="is damaged"):
        artifact.verify()
    assert not artifact.folder.exists()


def test_a_bit_flipped_anywhere_in_the_manifest_is_found(artifact: Artifact) -> None:
    path = publish(artifact) / "stage.json"
    whole, manifest = path.read_bytes(), artifact.manifest()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 7]) + whole[place + 1 :])
        assert artifact.manifest() in (None, manifest) or not without_sum(artifact)
    path.write_bytes(whole)
    assert artifact.manifest() == manifest


def without_sum(artifact: Artifact) -> bool:
    """Whether a manifest that is accepted has lost more than the name of its own checksum."""
    found = artifact.manifest() or {}
    known = {"stage", "files"}
    return bool(known - found.keys()) or len(found.keys() - known) != 1


def test_a_damaged_manifest_is_no_manifest(artifact: Artifact) -> None:
    (publish(artifact) / "stage.json").write_text('{"stage": "dis')
    assert artifact.manifest() is None


def test_a_second_holder_is_told_who_holds_and_since_when(artifact: Artifact) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(artifact.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        machine = os.uname().nodename
        with pytest.raises(UserError, match=rf"by process {holder.pid} on {machine} since \d{{4}}-\d\d-\d\d \d\d:"):
            artifact.lock().__enter__()
        holder.kill()
    with artifact.lock():  # the lock of a killed process is free
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_one_sentence(artifact: Artifact, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    folder = artifact.folder.parent
    with pytest.raises(UserError, match=f"{folder} lies on a disk without locks .*: put run.artifacts on a disk with"):
        artifact.lock().__enter__()


def test_a_lock_is_free_again_after_an_error(artifact: Artifact) -> None:
    with pytest.raises(ZeroDivisionError), artifact.lock():
        _ = 1 / 0
    with artifact.lock():
        pass
