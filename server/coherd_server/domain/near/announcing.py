"""Tells near caches of changes: behind the change and before its acknowledgement (section 6, rule 2)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from coherd.contract.catalog import DomainSpec, NearCacheMode, ResolvedKey
from coherd_server.domain.failure import UNCONFIRMED, Failure
from coherd_server.domain.near.ports import ChangeLog, Clock, LogUnavailable
from coherd_server.domain.near.replica import Replica
from coherd_server.domain.near.terms import Terms

NAMES_PER_ENTRY: Final = 1_000


class Announcer:
    """Appends names of what changed, and waits for their confirmation where that is asked for.

    Args:
        log: see `ChangeLog`.
        replica: confirms strict changes.
        terms: bounds how long that may take.
        clock: see `Clock`.
    """

    def __init__(self, log: ChangeLog, replica: Replica, terms: Terms, clock: Clock) -> None:
        self._log = log
        self._replica = replica
        self._terms = terms
        self._now_s = clock

    async def keys(self, keys: Iterable[ResolvedKey], *, wait: bool = False) -> Failure | None:
        """These changed; None once near caches know, or need not. See `tags`."""
        near = [key for key in keys if key.domain.near_cache is not NearCacheMode.OFF]
        return await self._announce([f"k{key.text}" for key in near], [key.domain for key in near], wait)

    async def tags(self, tags: Mapping[str, DomainSpec], *, wait: bool = False) -> Failure | None:
        """These were invalidated.

        Args:
            tags: each with its domain.
            wait: until every near cache has dropped them, also where the domain does not ask for that.

        Returns:
            `UNCONFIRMED` where it is not known: the change was made, and is safe to repeat.
        """
        near = {tag: domain for tag, domain in tags.items() if domain.near_cache is not NearCacheMode.OFF}
        return await self._announce([f"t{tag}" for tag in near], near.values(), wait)

    async def _announce(self, names: list[str], domains: Iterable[DomainSpec], wait: bool) -> Failure | None:
        if not names:
            return None
        awaited = wait or any(domain.near_cache is NearCacheMode.STRICT for domain in domains)
        try:
            if not awaited:
                await self._append(names, awaited=False)
                return None
            async with asyncio.timeout(self._terms.longest_wait_s):
                while not await self._append(names, awaited=True):
                    pass
        except (LogUnavailable, TimeoutError):
            return UNCONFIRMED
        return None

    async def _append(self, names: list[str], *, awaited: bool) -> bool:
        """Append, and wait if anybody does; False: append again."""
        for at in range(0, len(names), NAMES_PER_ENTRY):
            asked_s = self._now_s()
            part = names[at : at + NAMES_PER_ENTRY]
            appended = await self._log.append(part, awaited=awaited)
        return not awaited or await self._replica.confirm(appended, asked_s=asked_s)
