"""What was launched."""

import pytest

from tests.helpers.published import launches


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages that were launched, with the launcher's words; each publishes a fake artifact."""
    return launches(monkeypatch)
