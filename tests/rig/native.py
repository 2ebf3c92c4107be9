"""Both twins of what is compiled, and the fixture that runs a test over each. Without the compiled module only the pure
twin is tested; CI builds it and sets COHERD_NATIVE=require, without which `coherd` cannot be imported there."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, Final

import pytest

from coherd import _native


def _compiled() -> ModuleType | None:
    try:
        return importlib.import_module("coherd._native.compiled")
    except ImportError:
        return None


COMPILED: Final[Any] = _compiled()
"""Also where this run uses the pure twins; None: it is not built."""


@pytest.fixture(params=["pure", "native"] if COMPILED else ["pure"])
def twin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each twin in turn."""
    chosen: str = request.param
    monkeypatch.setattr(_native, "loaded", COMPILED if chosen == "native" else None)
    assert _native.implementation() == chosen
    return chosen
