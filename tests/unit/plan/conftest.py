"""A world whose run is finished."""

from pathlib import Path

import pytest

from pipeline.plan.run_folder import publish_run
from tests.helpers.published import plan_of, publish


@pytest.fixture
def done(world: Path) -> Path:
    """A world whose run is finished."""
    publish(plan_of(world))
    publish_run(plan_of(world))
    return world
