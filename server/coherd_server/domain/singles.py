"""Gets and sets of one key, as unary calls bring them: those that overlap are done as one for several keys."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from coherd.contract.catalog import ResolvedKey
from coherd_server.domain.failure import Failure
from coherd_server.domain.ports import Store
from coherd_server.domain.reading import Found, Reader
from coherd_server.domain.set_plan import SetDone, SetItem
from coherd_server.domain.together import Asked, Together
from coherd_server.domain.writing import Writer


class _Set(NamedTuple):
    item: SetItem
    turn_ms: int


_Asked = Asked[_Set, SetDone | Failure]


class Singles:
    """Over one store.

    Args:
        store: knows when calls overlap.
        reader: of the same store.
        writer: of the same store.
    """

    def __init__(self, store: Store, reader: Reader, writer: Writer) -> None:
        self._store = store
        self._reader = reader
        self._writer = writer
        self._gets: dict[bool, Together[ResolvedKey, Found | Failure]] = {
            accept_stale: Together(store.when_gathered, partial(self._get, accept_stale))
            for accept_stale in (False, True)
        }
        self._sets: Together[_Set, SetDone | Failure] = Together(store.when_gathered, self._set)

    async def get(self, key: ResolvedKey, *, accept_stale: bool = False) -> Found | Failure:
        """As `Reader.get`, of one key."""
        if self._store.is_crowded:
            return await self._gets[accept_stale].ask(key)
        return (await self._reader.get([key], accept_stale=accept_stale))[0]

    async def set(self, item: SetItem, *, turn_ms: int) -> SetDone | Failure:
        """As `Writer.set`, of one item. One that must wait for its turn holds up no others."""
        if self._store.is_crowded:
            return await self._sets.ask(_Set(item, turn_ms))
        return (await self._writer.set([item], turn_ms=turn_ms))[0]

    async def _get(self, accept_stale: bool, group: Sequence[Asked[ResolvedKey, Found | Failure]]) -> None:
        found = await self._reader.get([one.item for one in group], accept_stale=accept_stale)
        for one, answer in zip(group, found, strict=True):
            one.answer(answer)

    async def _set(self, group: Sequence[_Asked]) -> None:
        first: dict[str, _Asked] = {}
        waiting: list[_Asked] = []
        for one in group:
            key = one.item.item.key
            if key.text in first or self._writer.is_writing(key):
                waiting.append(one)
            else:
                first[key.text] = one
        others = [asyncio.create_task(self._set_all([one])) for one in waiting]
        try:
            await self._set_all([*first.values()])
            for other in others:
                await other
        finally:
            for other in others:
                other.cancel()

    async def _set_all(self, group: Sequence[_Asked]) -> None:
        def report(index: int, outcome: SetDone | Failure) -> None:
            group[index].answer(outcome)

        def wanted(index: int) -> bool:
            return group[index].is_wanted

        if group:
            items, turn_ms = [one.item.item for one in group], max(one.item.turn_ms for one in group)
            await self._writer.set(items, turn_ms=turn_ms, report=report, wanted=wanted)
