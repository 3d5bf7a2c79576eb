"""The artifact store: where everything that a stage publishes lies. Only `run_links` shares this layout.

artifacts/STAGE/FINGERPRINT/             one published artifact; its stage.json was written last
artifacts/STAGE/FINGERPRINT.work/        work in progress: checkpoints, finished shards, the output being built
artifacts/STAGE/FINGERPRINT.lock         held while a process works on it
artifacts/STAGE/FINGERPRINT.aside-N/     replaced by --force, or damaged; `gc` removes it
artifacts/cache/                         downloads and remembered digests
"""

import contextlib
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.artifacts.atomic import checksum, sync, sync_tree, write_atomically
from pipeline.artifacts.locks import locks_needed
from pipeline.errors import UserError, WorkFailed

MANIFEST = "stage.json"
OWN_SUM = "sha256_of_the_rest"  # in it: no checksum beside it covers it


def fingerprint(
    *, stage: str, version: int, settings: Mapping[str, Any], upstream: Mapping[str, str], files: Mapping[str, str]
) -> str:
    """The name of an artifact: 16 hex digits of SHA-256 over all that can change it.

    Args:
        settings: the part of the recipe that can change the output, resolved precision included.
        upstream: the fingerprints of the artifacts it reads, by stage.
        files: content digests of the files it reads, by 'role/relative name'.
    """
    made_by = {"stage": stage, "version": version, "settings": settings, "upstream": upstream, "files": files}
    text = json.dumps(made_by, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sum_of(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Artifact:
    """One artifact, published or not yet."""

    root: Path
    stage: str
    fingerprint: str

    @classmethod
    def at(cls, folder: Path) -> "Artifact":
        """The artifact in a folder of a store, or behind a link to one."""
        target = folder.resolve()
        return cls(target.parent.parent, target.parent.name, target.name)

    @property
    def folder(self) -> Path:
        return self.root / self.stage / self.fingerprint

    @property
    def work(self) -> Path:
        """Where the stage keeps what it needs to go on after a crash."""
        return self.folder.with_name(f"{self.fingerprint}.work")

    @property
    def lock_file(self) -> Path:
        """What a process locks while it works on it."""
        return self.folder.with_name(f"{self.fingerprint}.lock")

    @property
    def output(self) -> Path:
        """Where the stage builds what it will publish."""
        return self.work / "output"

    def manifest(self) -> dict[str, Any] | None:
        """stage.json of a published artifact; None where there is none, or where it is damaged."""
        try:
            manifest = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
            known = manifest.pop(OWN_SUM)
        except (OSError, ValueError, AttributeError, TypeError, KeyError):
            return None
        whole = isinstance(manifest.get("files"), dict) and known == _sum_of(manifest)
        return manifest if whole else None

    def identity(self) -> str:
        """What tells this artifact from another one of the same fingerprint: the checksum of its stage.json."""
        return checksum(self.folder / MANIFEST)

    def missing(self) -> str | None:
        """The first file that is gone or has another size; a cheap check that reads no content."""
        for name, known in (self.manifest() or {}).get("files", {}).items():
            path = self.folder / name
            if not path.is_file() or path.stat().st_size != known["bytes"]:
                return name
        return None

    def verify(self, only: str | None = None) -> None:
        """Sets the artifact aside and raises WorkFailed when a file, or this file, differs from its checksum."""
        for name, known in (self.manifest() or {}).get("files", {}).items():
            path = self.folder / name
            if only in (None, name) and (not path.is_file() or checksum(path) != known["sha256"]):
                self._set_damaged_aside(path)
                raise WorkFailed(f"{path} is damaged and was set aside; the same command makes {self.stage} again")

    def _set_damaged_aside(self, file: Path) -> None:
        try:
            with self.lock():
                self.set_aside()
        except OSError as error:
            raise WorkFailed(
                f"{file} is damaged, and {self.folder} cannot be set aside ({error.strerror}): remove that folder, and"
                f" the same command makes {self.stage} again"
            ) from None

    def publish(self, manifest: Mapping[str, Any]) -> None:
        """Turn `output` into the artifact: checksums, stage.json, fsync, one rename; then the work folder goes.

        Whoever may read its folder may read its files: safetensors writes weights for their owner alone.
        """
        readable = self.output.stat().st_mode & 0o666
        files = {}
        for path in self.output.rglob("*"):
            if path.is_file() and path != self.output / MANIFEST:
                entry = {"sha256": checksum(path), "bytes": path.stat().st_size}
                files[path.relative_to(self.output).as_posix()] = entry
                with contextlib.suppress(OSError):  # a file system without modes
                    path.chmod(path.stat().st_mode | readable)
        sync_tree(self.output)
        whole = json.loads(json.dumps({**manifest, "files": files}))
        text = json.dumps({**whole, OWN_SUM: _sum_of(whole)}, indent=1, sort_keys=True)
        write_atomically(self.output / MANIFEST, text)
        self.set_aside()
        self.output.rename(self.folder)
        sync(self.folder.parent)
        shutil.rmtree(self.work, ignore_errors=True)

    def set_aside(self) -> Path:
        """Move what is published out of the way, for `gc` to remove. Returns where it lies then."""
        aside = self.folder.with_name(f"{self.fingerprint}.aside-{time.time_ns()}")
        if self.folder.exists():
            self.folder.rename(aside)
        return aside

    def discard(self) -> None:
        """Set aside what is published, and remove the work of an attempt that was killed."""
        with self.lock():
            self.set_aside()
            shutil.rmtree(self.work, ignore_errors=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the artifact while working on it. Raises UserError: who else does, or that the disk has no locks."""
        path = self.lock_file
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = path.with_suffix(".holder")
        lock = FileLock(path, mode=path.parent.stat().st_mode & 0o666)  # who may write the folder may take the lock
        try:
            with locks_needed(path.parent):
                lock.acquire(timeout=0)
        except Timeout:
            process = "another process"
            with contextlib.suppress(OSError):  # it may have ended this moment
                process = holder.read_text(encoding="utf-8")
            raise UserError(f"{self.folder} is being made by {process}; wait for it, or stop it") from None
        try:
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            write_atomically(holder, f"process {os.getpid()} on {socket.gethostname()} since {since}")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()


def published_files(folder: Path, pattern: str) -> list[Path]:
    """The files that match among those that an artifact's stage.json lists, sorted; others that lie there are no part.

    Args: folder: an artifact, or a link to one; of another folder all files that match and are not hidden.
    """
    manifest = Artifact.at(folder).manifest()
    found = [folder / name for name in manifest["files"]] if manifest else folder.glob(pattern)
    return sorted(path for path in found if path.match(pattern) and not path.name.startswith("."))


def intact(folder: Path, name: str) -> Path:
    """A file of a published artifact, or of a link to one, verified: a damaged one is not read."""
    Artifact.at(folder).verify(name)
    return folder / name


def cache_folder(root: Path) -> Path:
    """Folder of downloads and remembered digests."""
    return root / "cache"
