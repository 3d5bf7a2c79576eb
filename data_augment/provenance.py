"""What a folder is made from: recorded before any work, so that a killed call can go on and other calls are refused."""

import contextlib
import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import Any

from pipeline.artifacts.atomic import checksum, write_atomically
from pipeline.artifacts.store import Artifact
from pipeline.data.languages import ENGLISH
from pipeline.errors import UserError

PROVENANCE_FILE = "settings.json"
PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "nltk", "numpy", "pyarrow")


def record_provenance(output: Path, provenance: dict[str, Any]) -> None:
    """Record what the folder is made from. Raises UserError where it holds candidates made from something else."""
    path = output / PROVENANCE_FILE
    if path.is_file():
        recorded = _read(path)
        for name in {**provenance, **recorded}:  # a setting at its default may be left out
            before, now = recorded.get(name), provenance.get(name)
            if before != now:
                raise UserError(f"{output} holds candidates with {name} {before!r}, not {now!r}; give another folder")
    elif output.exists() and any(output.iterdir()):
        raise UserError(f"{output} is not empty and no folder of candidates; give another one")
    write_atomically(path, json.dumps(provenance, indent=1))


def keep_or_clear(building: Path, provenance: dict[str, Any]) -> None:
    """Keep the unfinished work of a killed call with the same provenance; remove that of any other call."""
    path, text = building / PROVENANCE_FILE, json.dumps(provenance, indent=1)
    if not path.is_file() or path.read_bytes() != text.encode():
        shutil.rmtree(building, ignore_errors=True)
        write_atomically(path, text)


def candidates_provenance(candidates: Path) -> Any:
    """The provenance recorded in a folder of candidates; without a record, the checksums of its shards."""
    path = candidates / PROVENANCE_FILE
    return _read(path) if path.is_file() else checksums(candidates / "data", "*")


def languages_of(candidates: Path) -> list[str]:
    """The languages that candidates were proposed in, as `propose` or the stage propose_candidates noted them."""
    if (candidates / PROVENANCE_FILE).is_file():
        return _read(candidates / PROVENANCE_FILE).get("languages", [ENGLISH])
    manifest = Artifact.at(candidates).manifest() or {}
    return manifest.get("metrics", {}).get("languages", [ENGLISH])


def _read(path: Path) -> dict[str, Any]:
    """Raises UserError where the record is damaged."""
    with contextlib.suppress(ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    raise UserError(
        f"{path} is damaged, so it is unknown what the candidates were made from; propose them again in a new folder"
    )


def versions() -> dict[str, str]:
    """The versions of the packages that can change the output."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def checksums(path: Path, pattern: str) -> dict[str, str]:
    """SHA-256 of a file, or of a folder's files."""
    files = sorted(file for file in path.glob(pattern) if file.is_file()) if path.is_dir() else [path]
    return {file.name: checksum(file) for file in files}
