"""dogpile's own suite marks its slow tests."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Make its marker known."""
    config.addinivalue_line("markers", "time_intensive: a slow test of dogpile.testing.fixtures")
