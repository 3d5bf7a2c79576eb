"""An artifact that is not there yet."""

from pathlib import Path

import pytest

from pipeline.artifacts.store import Artifact


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return Artifact(tmp_path / "artifacts", "distill_layers", "f00d")
