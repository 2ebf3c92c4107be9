"""Failures that a test asks for."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from coherd.errors import CacheError


class _Fault(NamedTuple):
    error: CacheError
    rpcs: frozenset[str]
    takes_effect: bool


class Faults:
    """What fails now, and how.

    Args:
        rpcs: names of the rpcs there are.
    """

    def __init__(self, rpcs: Sequence[str]) -> None:
        self._rpcs = frozenset(rpcs)
        self._faults: list[_Fault] = []

    @contextmanager
    def failing(self, error: CacheError, rpcs: Sequence[str], *, takes_effect: bool) -> Iterator[None]:
        """Within it the named rpcs fail, or all if none is named; the innermost counts.

        Raises:
            ValueError: there is no such rpc.
        """
        unknown = sorted(set(rpcs) - self._rpcs)
        if unknown:
            raise ValueError(f"no such rpc: {unknown[0]}; there are: {', '.join(sorted(self._rpcs))}")
        fault = _Fault(error, frozenset(rpcs) or self._rpcs, takes_effect)
        self._faults.append(fault)
        try:
            yield
        finally:
            self._faults = [each for each in self._faults if each is not fault]

    def before(self, rpc: str) -> None:
        """Raises the error of a call that fails without effect."""
        self._raise(rpc, takes_effect=False)

    def after(self, rpc: str) -> None:
        """Raises the error of a call that took effect and whose answer is lost."""
        self._raise(rpc, takes_effect=True)

    def _raise(self, rpc: str, *, takes_effect: bool) -> None:
        fault = next((each for each in reversed(self._faults) if rpc in each.rpcs), None)
        if fault is not None and fault.takes_effect is takes_effect:
            raise copy.copy(fault.error)
