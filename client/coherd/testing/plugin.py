"""The pytest plugin: fixture ``coherd_cache``. Loaded by the entry point ``pytest11`` of the distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from coherd.testing.fake import FakeCache


@pytest.fixture
def coherd_cache() -> FakeCache:
    """A fresh `coherd.testing.FakeCache` with the built-in catalog, whose clock stands still until it is advanced."""
    from coherd.testing.fake import FakeCache

    return FakeCache()
