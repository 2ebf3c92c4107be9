"""What is compiled, if it is: functions of bytes and plain values that do the same as their pure twins, faster.

A compiled function does what is common, and answers that something is left to the pure twin for all else: what is
rare, damaged, or to be refused. So whatever is wrong has one specification, the pure twin's. Who calls them:
`coherd._rpc.frames`, `coherd._near.documents`, `coherd_server.rpc.frame_bytes`, `coherd_server.core.read_columns`.

Environment variables, read when this is imported:

    COHERD_PURE=1          the pure twins are used, and an installation compiles nothing
    COHERD_NATIVE=require  what is compiled must be there: else importing fails
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Final, Literal, TypeAlias

Implementation: TypeAlias = Literal["native", "pure"]
PURE_VARIABLE: Final = "COHERD_PURE"
NATIVE_VARIABLE: Final = "COHERD_NATIVE"
SWITCHES: Final = (PURE_VARIABLE, NATIVE_VARIABLE)


def _switch(variable: str, on: str) -> bool:
    """Whether an environment variable says so.

    Raises:
        ImportError: it says something else.
    """
    value = os.environ.get(variable, "")
    if value not in ("", "0", on):
        raise ImportError(f"{variable} is {on}, 0 or not set")
    return value == on


def _load() -> ModuleType | None:
    pure, required = _switch(PURE_VARIABLE, "1"), _switch(NATIVE_VARIABLE, "require")
    if pure and required:
        raise ImportError(f"{PURE_VARIABLE}=1 and {NATIVE_VARIABLE}=require exclude each other")
    if pure:
        return None
    try:
        from coherd._native import compiled
    except ImportError as error:
        if required:
            raise ImportError(
                f"{NATIVE_VARIABLE}=require, but coherd._native.compiled cannot be loaded: {error}"
            ) from error
        return None
    return compiled


loaded: Final = _load()
"""The compiled module; None: the pure twins are used."""


def implementation() -> Implementation:
    """Which twins this process uses: ``"native"``, compiled ones, or ``"pure"``, those in Python. They do the same."""
    return "pure" if loaded is None else "native"
