"""Gets and sets of one key, as unary calls bring them: those that overlap are done as one for several keys."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.requests import SetItem
from coherd_server.core.failure import Failure
from coherd_server.core.get import Lookup, Reader
from coherd_server.core.set import Writer
from coherd_server.core.set_plan import SetDone
from coherd_server.core.store import Store
from coherd_server.core.together import Asked, Together

MOST_BYTES: Final = 1 << 16
"""Longest payload of a set that shares a group."""


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
        self._gets: dict[bool, Together[ResolvedKey, Lookup | Failure]] = {
            accept_stale: Together(store.when_gathered, partial(self._get, accept_stale))
            for accept_stale in (False, True)
        }
        self._sets: Together[_Set, SetDone | Failure] = Together(store.when_gathered, self._set, self._split)

    async def get(self, key: ResolvedKey, *, accept_stale: bool = False) -> Lookup | Failure:
        """As `Reader.get`, of one key."""
        if self._store.is_crowded:
            return await self._gets[accept_stale].ask(key)
        return (await self._reader.get([key], accept_stale=accept_stale))[0]

    async def set(self, item: SetItem, *, turn_ms: int) -> SetDone | Failure:
        """As `Writer.set`, of one item.

        What takes longer holds up no others: what must wait for its turn, looks at what is there, or is large.
        """
        if self._store.is_crowded and not item.only_if_absent and len(item.payload) <= MOST_BYTES:
            return await self._sets.ask(_Set(item, turn_ms))
        return (await self._writer.set([item], turns_ms=[turn_ms]))[0]

    async def _get(self, accept_stale: bool, group: Sequence[Asked[ResolvedKey, Lookup | Failure]]) -> None:
        found = await self._reader.get([one.item for one in group], accept_stale=accept_stale)
        for one, answer in zip(group, found, strict=True):
            one.answer(answer)

    def _split(self, asked: Sequence[_Asked]) -> list[list[_Asked]]:
        """Those that can be written at once, and each that must wait for its turn."""
        first: dict[str, _Asked] = {}
        waiting: list[list[_Asked]] = []
        for one in asked:
            key = one.item.item.key
            if key.text in first or self._writer.is_writing(key):
                waiting.append([one])
            else:
                first[key.text] = one
        return [[*first.values()], *waiting]

    async def _set(self, group: Sequence[_Asked]) -> None:
        def report(index: int, outcome: SetDone | Failure) -> None:
            group[index].answer(outcome)

        def wanted(index: int) -> bool:
            return group[index].is_wanted

        items, turns_ms = [one.item.item for one in group], [one.item.turn_ms for one in group]
        await self._writer.set(items, turns_ms=turns_ms, report=report, wanted=wanted)
