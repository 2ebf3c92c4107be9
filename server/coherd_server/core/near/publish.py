"""Tells near caches of changes: behind the change and before its acknowledgement [change-then-log]."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence

from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.declared import DomainSpec
from coherd.contract.near_cache import NearCacheMode
from coherd_server.core.failure import UNCONFIRMED, Failure
from coherd_server.core.near.log import NAMES_PER_ENTRY, ChangeLog, ChangeNotice, Clock, LogUnavailable
from coherd_server.core.near.member import Member
from coherd_server.core.near.terms import Terms


class ChangePublisher:
    """Appends names of what changed, and waits for their confirmation where that is asked for.

    Args:
        log: see `ChangeLog`.
        member: confirms strict changes.
        terms: bounds how long that may take.
        clock: see `Clock`.
    """

    def __init__(self, log: ChangeLog, member: Member, terms: Terms, clock: Clock) -> None:
        self._log = log
        self._member = member
        self._terms = terms
        self._now_s = clock
        self._appending: set[asyncio.Task[bool]] = set()

    def of_keys(self, keys: Sequence[ResolvedKey], *, wait: bool = False) -> list[ChangeNotice | None]:
        """What to announce when these change, in order; None where no near cache keeps it. At most two different ones:
        nothing that nobody waits for is held up by what somebody waits for.

        Args:
            keys: what changes.
            wait: until every near cache has dropped them, also where the domain does not ask for that.
        """
        return self._of([(f"k{key.text}", key.domain) for key in keys], wait)

    def of_tags(self, tags: Mapping[str, DomainSpec], *, wait: bool = False) -> list[ChangeNotice | None]:
        """As `of_keys`, for tags that are invalidated, each with its domain."""
        return self._of([(f"t{tag}", domain) for tag, domain in tags.items()], wait)

    def _of(self, names: Iterable[tuple[str, DomainSpec]], wait: bool) -> list[ChangeNotice | None]:
        shared: dict[bool, ChangeNotice] = {}
        found: list[ChangeNotice | None] = []
        for name, domain in names:
            mode = domain.near_cache
            if mode is NearCacheMode.OFF:
                found.append(None)
                continue
            awaited = wait or mode is NearCacheMode.STRICT
            one = shared.get(awaited)
            if one is None:
                one = shared[awaited] = ChangeNotice([], awaited, self._now_s())
            one.names.append(name)
            found.append(one)
        return found

    async def finish(self, notices: Collection[ChangeNotice]) -> Failure | None:
        """The changes were made: return when near caches are told, and have confirmed it where that is awaited.

        Returns:
            `UNCONFIRMED` where that is not known. The change was made, and is safe to repeat.
        """
        if all(one.appended is not None and not one.awaited for one in notices):
            return None
        done = await asyncio.gather(*map(self._finish, notices))
        return next((failure for failure in done if failure is not None), None)

    async def _finish(self, one: ChangeNotice) -> Failure | None:
        try:
            if one.appended is None:
                # The change was made: whoever made it may go away, but near caches are told.
                appending = asyncio.create_task(self._append_first(one))
                self._appending.add(appending)
                appending.add_done_callback(self._appending.discard)
                if not await asyncio.shield(appending):
                    return UNCONFIRMED
            if one.awaited:
                async with asyncio.timeout(self._terms.longest_wait_s):
                    while one.appended is None or not await self._member.confirm(one.appended, asked_s=one.asked_s):
                        await self._append(one)
        except (LogUnavailable, TimeoutError):
            return UNCONFIRMED
        return None

    async def _append_first(self, one: ChangeNotice) -> bool:
        """Whether the log took it; not raised, since nobody may be left to hear it."""
        try:
            await self._append(one)
        except LogUnavailable:
            return False
        return True

    async def _append(self, one: ChangeNotice) -> None:
        one.asked_s = self._now_s()
        for at in range(0, len(one.names), NAMES_PER_ENTRY):
            one.appended = await self._log.append(one.names[at : at + NAMES_PER_ENTRY], awaited=one.awaited)


def distinct(notices: Iterable[ChangeNotice | None]) -> list[ChangeNotice]:
    """Each of them once."""
    return list(dict.fromkeys(one for one in notices if one is not None))
