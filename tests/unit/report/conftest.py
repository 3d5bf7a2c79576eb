"""A finished run to report on."""

from pathlib import Path

import pytest

from tests.helpers.reported import CASES, write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "runs" / "reviews", CASES, labels=["good", "bad"])
