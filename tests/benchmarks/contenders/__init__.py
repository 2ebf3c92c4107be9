"""Who takes part: each stores and reads the same values under keys of its own, and decodes what it reads."""

from __future__ import annotations

from typing import Final, Protocol

BATCH: Final = 100
"""Keys of one call that reads or writes many."""
PATIENCE_S: Final = 60.0
"""Of all callers: a call that takes longer hangs, on a busy machine too."""
PATIENCE_MS: Final = 60_000
"""The same."""


class WrongAnswer(AssertionError):
    """A contender did not do what is measured."""


def expect(holds: bool, otherwise: str = "a contender did not get what it stored") -> None:
    """Raises:
    WrongAnswer: it does not hold; with the text of what is the case.
    """
    if not holds:
        raise WrongAnswer(otherwise)


class Preparing(Protocol):
    """What has something to do before it is measured and after."""

    async def prepare(self) -> None:
        """Connect, and store every key."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


class Contender(Preparing, Protocol):
    """``turn`` numbers calls; it says which key, or which keys, a call is about."""

    name: str

    async def get(self, turn: int) -> None:
        """Read and decode one value that is there."""
        ...

    async def miss(self, turn: int) -> None:
        """Read one value that is not there."""
        ...

    async def set(self, turn: int) -> None:
        """Encode and store one value for an hour."""
        ...


class Batching(Contender, Protocol):
    """One that has calls for many keys."""

    get_many_name: str
    set_many_name: str

    async def get_many(self, turn: int) -> None:
        """Read and decode `BATCH` values that are there."""
        ...

    async def set_many(self, turn: int) -> None:
        """Encode and store `BATCH` values for an hour."""
        ...


def batches(keys: list[str]) -> list[list[str]]:
    """The keys in batches of `BATCH`."""
    return [keys[start : start + BATCH] for start in range(0, len(keys) - BATCH + 1, BATCH)]
