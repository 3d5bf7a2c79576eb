"""The runs that use a store: their links to its artifacts, and the notes of where runs lie, which `gc` reads.

runs/NAME/STAGE -> the artifact     beside the run's recipe, logs and results
artifacts/cache/runs/DIGEST         the note of one folder of runs
"""

import contextlib
import hashlib
import json
import os
import secrets
import shlex
from pathlib import Path

from pipeline.artifacts.atomic import write_atomically
from pipeline.artifacts.store import Artifact, cache_folder
from pipeline.errors import UserError, require

RECIPE = "recipe.yaml"  # in a run's folder: all its settings


def link(run_folder: Path, artifact: Artifact) -> None:
    """runs/NAME/STAGE -> the artifact; a link that is right is left alone."""
    run_folder.mkdir(parents=True, exist_ok=True)
    target = os.path.relpath(artifact.folder.resolve(), run_folder.resolve())
    path = run_folder / artifact.stage
    is_link = path.is_symlink()
    require(
        is_link or not path.exists(),
        f"{path} is no link to an artifact, as in a copy that followed the links: remove it",
    )
    if not is_link or str(path.readlink()) != target:
        temporary = run_folder / f".{artifact.stage}.{secrets.token_hex(4)}"
        temporary.symlink_to(target)
        temporary.replace(path)


def unlink(run_folder: Path, stage: str) -> None:
    """No runs/NAME/STAGE any more; the artifact stays."""
    if (run_folder / stage).is_symlink():
        (run_folder / stage).unlink(missing_ok=True)


def note_runs(root: Path, folder: Path) -> None:
    """Remember a folder of runs that link to the artifacts of this store, wherever it lies.

    The note holds its path and its place beside the store, by which a project that was moved finds it.
    """
    path = folder.resolve()
    beside = os.path.relpath(path, root.resolve())
    name = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    with contextlib.suppress(OSError):  # a store that may only be read has nothing to remove
        write_atomically(_notes_of_runs(root) / name, json.dumps([str(path), beside]))


def folders_of_runs(root: Path) -> dict[Path, list[Path]]:
    """By note, the folders that it may stand for: as it was written, and beside the store where that is now.

    Raises: UserError for a damaged note.
    """
    folders = {}
    for note in sorted(_notes_of_runs(root).glob("[!.]*")):
        try:
            path, beside = json.loads(note.read_text(encoding="utf-8"))
            possible = [Path(os.path.realpath(root.resolve() / noted)) for noted in (path, beside)]
        except (ValueError, TypeError):
            raise UserError(
                f"{note} is damaged: it says where runs lie that use this store; start one of these runs where they lie"
                f" (./run_all.sh RECIPE), and remove the note: rm {shlex.quote(str(note))}"
            ) from None
        folders[note] = list(dict.fromkeys(possible))
    return folders


def _notes_of_runs(root: Path) -> Path:
    return cache_folder(root) / "runs"
