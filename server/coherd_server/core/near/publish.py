"""Tells near caches of changes: behind the change and before its acknowledgement [change-then-log]."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence

from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.declared import DomainSpec
from coherd.contract.near_cache import NearCacheMode
from coherd_server.core.failure import UNCONFIRMED, Failure
from coherd_server.core.near.change_log import NAMES_PER_ENTRY, ChangeLog, ChangeNotice, Clock, LogUnavailable
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
        """What to publish when these change, in order; None where no near cache keeps it. At most two different ones:
        nothing that nobody waits for is held up by what somebody waits for.

        Args:
            keys: what changes.
            wait: until every near cache has dropped them, also where the domain does not ask for that.
        """
        return self._of([(f"k{key.text}", key.domain) for key in keys], wait)

    def of_tags(self, tags: Mapping[str, DomainSpec], *, wait: bool = False) -> list[ChangeNotice | None]:
        """What to publish when these tags are invalidated; otherwise as `of_keys`.

        Args:
            tags: each with its domain.
            wait: as `of_keys`.
        """
        return self._of([(f"t{tag}", domain) for tag, domain in tags.items()], wait)

    def _of(self, names: Iterable[tuple[str, DomainSpec]], wait: bool) -> list[ChangeNotice | None]:
        shared: dict[bool, ChangeNotice] = {}
        notices: list[ChangeNotice | None] = []
        for name, domain in names:
            mode = domain.near_cache
            if mode is NearCacheMode.OFF:
                notices.append(None)
                continue
            awaited = wait or mode is NearCacheMode.STRICT
            notice = shared.get(awaited)
            if notice is None:
                notice = shared[awaited] = ChangeNotice([], awaited, self._now_s())
            notice.names.append(name)
            notices.append(notice)
        return notices

    async def finish(self, notices: Collection[ChangeNotice]) -> Failure | None:
        """The changes were made: return when near caches are told, and have confirmed it where that is awaited.

        Returns:
            `UNCONFIRMED` where that is not known. The change was made, and is safe to repeat.
        """
        if all(is_told(notice) for notice in notices):
            return None
        done = await asyncio.gather(*map(self._finish, notices))
        return next((failure for failure in done if failure is not None), None)

    async def _finish(self, notice: ChangeNotice) -> Failure | None:
        try:
            if notice.appended is None:
                # The change was made: whoever made it may go away, but near caches are told.
                appending = asyncio.create_task(self._append_first(notice))
                self._appending.add(appending)
                appending.add_done_callback(self._appending.discard)
                if not await asyncio.shield(appending):
                    return UNCONFIRMED
            if notice.awaited:
                async with asyncio.timeout(self._member.longest_wait_s):
                    while notice.appended is None or not await self._member.confirm(
                        notice.appended, asked_s=notice.asked_s
                    ):
                        await self._append(notice)
        except (LogUnavailable, TimeoutError):
            return UNCONFIRMED
        return None

    async def _append_first(self, notice: ChangeNotice) -> bool:
        """Whether the log took the notice; nothing is raised, since nobody may be left to hear it."""
        try:
            await self._append(notice)
        except LogUnavailable:
            return False
        return True

    async def _append(self, notice: ChangeNotice) -> None:
        notice.asked_s = self._now_s()
        for at in range(0, len(notice.names), NAMES_PER_ENTRY):
            notice.appended = await self._log.append(notice.names[at : at + NAMES_PER_ENTRY], awaited=notice.awaited)


def distinct(notices: Iterable[ChangeNotice | None]) -> list[ChangeNotice]:
    """The notices that are there, each once."""
    return list(dict.fromkeys(notice for notice in notices if notice is not None))


def is_told(notice: ChangeNotice) -> bool:
    """Nothing is left to be done for it: the store has appended it with the change, and nobody waits for more."""
    return notice.appended is not None and not notice.awaited
