"""A crowd: very many keys of many users, of which one user's are invalidated. Each contender has a Valkey of its own.

To store a million entries one by one would take minutes, so each user's first entry is stored the way the contender
stores, and its bytes are copied under the user's other keys: for none of them the bytes depend on the key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import redis.asyncio
from tests.benchmarks.contenders import Preparing, WrongAnswer
from tests.benchmarks.data import TTL_MS

VALUE: Final = {"words": 812}
"""Small: a million are stored three times."""
KEYS_PER_CALL: Final = 10_000
"""Copies per script call: some milliseconds."""
SAMPLE: Final = 100
"""Keys of a user that are looked at to see whether it was filled or invalidated."""

_COPY: Final = """
for day = ARGV[4], ARGV[5] do
    local key = ARGV[1] .. day .. ARGV[2]
    redis.call('SET', key, ARGV[3], 'PX', ARGV[6])
    if KEYS[1] then redis.call('SADD', KEYS[1], key) end
end
"""


class Crowd(Preparing, Protocol):
    """One contender. A user's keys are numbered by day, 1..n."""

    name: str

    async def fill(self, user: str, keys: int) -> None:
        """Store the user's keys."""
        ...

    async def invalidate(self, user: str) -> None:
        """Returns when no key of the user is read any more."""
        ...

    async def found(self, user: str, days: Sequence[int]) -> int:
        """How many of these days of the user are read."""
        ...


class Copies:
    """Writes one entry's bytes under many keys."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._script = client.register_script(_COPY)

    async def spread(self, prefix: str, suffix: str, keys: int, *, tag_set: str | None = None) -> None:
        """Copy what is stored under day 1 to days 2..keys, and add each to a set if one is given."""
        raw = await self._client.get(f"{prefix}1{suffix}")
        if not isinstance(raw, bytes):
            raise WrongAnswer(f"nothing is stored under {prefix}1{suffix}")
        for first, last in _ranges(2, keys):
            sets = [] if tag_set is None else [tag_set]
            await self._script(keys=sets, args=[prefix, suffix, raw, first, last, TTL_MS])


def _ranges(first: int, last: int) -> Iterator[tuple[int, int]]:
    for start in range(first, last + 1, KEYS_PER_CALL):
        yield start, min(start + KEYS_PER_CALL - 1, last)


def sample_of(keys: int) -> list[int]:
    """Days spread over all of the user's, the first and the last among them."""
    return sorted({1, keys, *range(1, keys + 1, max(1, keys // SAMPLE))})
