"""What a folder is made from: noted when it is begun, so that a killed call goes on and another call is told apart."""

import contextlib
import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import Any

from pipeline.artifacts.atomic import checksum, write_atomically
from pipeline.errors import UserError

SETTINGS = "settings.json"
PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "nltk", "numpy", "pyarrow")


def begin(output: Path, settings: dict[str, Any]) -> None:
    """Note what the folder is made from. Raises UserError where it was begun from something else."""
    path = output / SETTINGS
    if path.is_file():
        before = _noted(path)
        other = [name for name in settings if before.get(name) != settings[name]]
        if other:
            raise UserError(
                f"{output} holds candidates with {other[0]} {before.get(other[0])!r}, not {settings[other[0]]!r};"
                " give another folder"
            )
    elif output.exists() and any(output.iterdir()):
        raise UserError(f"{output} is not empty and no folder of candidates; give another one")
    write_atomically(path, json.dumps(settings, indent=1))


def begin_again(building: Path, settings: dict[str, Any]) -> None:
    """Keep what a killed call with the same settings left; remove what any other left."""
    path, text = building / SETTINGS, json.dumps(settings, indent=1)
    if not path.is_file() or path.read_bytes() != text.encode():
        shutil.rmtree(building, ignore_errors=True)
        write_atomically(path, text)


def made_from(candidates: Path) -> Any:
    """What was noted in a folder of candidates; the checksums of its shards where nothing was."""
    path = candidates / SETTINGS
    return _noted(path) if path.is_file() else checksums(candidates / "data", "*")


def _noted(path: Path) -> dict[str, Any]:
    """Raises UserError where the note is damaged."""
    with contextlib.suppress(ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    raise UserError(f"{path} is damaged, so nobody knows what the candidates are of: propose them again elsewhere")


def versions() -> dict[str, str]:
    """Of the packages that can change what is written."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def checksums(path: Path, pattern: str) -> dict[str, str]:
    """SHA-256 of a file, or of a folder's files."""
    files = sorted(file for file in path.glob(pattern) if file.is_file()) if path.is_dir() else [path]
    return {file.name: checksum(file) for file in files}
