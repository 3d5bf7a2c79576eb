"""An artifact of a file or two, published, and what lies beside it."""

from pathlib import Path

from pipeline.artifacts.store import Artifact


def publish(artifact: Artifact, **files: str) -> Path:
    artifact.output.mkdir(parents=True)
    for name, text in (files or {"weights": "one two three"}).items():
        (artifact.output / name).write_text(text)
    artifact.publish({"stage": artifact.stage})
    return artifact.folder


def names(artifact: Artifact) -> list[str]:
    return sorted(path.name for path in artifact.folder.parent.iterdir())
