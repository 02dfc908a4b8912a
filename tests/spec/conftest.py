"""Plans are interpreted in these tests, unless a test is about what is compiled."""

import pytest


@pytest.fixture
def compiled() -> None:
    """Ask for it where plans should run as they do in the product."""


@pytest.fixture(autouse=True)
def interpreted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "compiled" not in request.fixturenames:
        monkeypatch.setenv("GRADWORKS_COMPILER", "none")
