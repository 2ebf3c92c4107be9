"""Callers that wait for somebody else's load, and how a change wakes them [timer-behind-wakes]."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager

from coherd.catalog.catalog import ResolvedKey


class Room:
    """The callers of this process that wait for one key."""

    def __init__(self) -> None:
        self.callers = 0
        self._mark: asyncio.Task[None] | None = None
        self._marked_until_s = 0.0
        self._next_change: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def next_change(self) -> asyncio.Future[None]:
        """Done at the next change. Take it before looking at the store, so that no change is missed in between."""
        return self._next_change

    @property
    def is_marked(self) -> bool:
        """Whether the store is known to remember that somebody waits."""
        mark = self._mark
        if mark is None or not mark.done() or mark.cancelled() or mark.exception() is not None:
            return False
        return asyncio.get_running_loop().time() < self._marked_until_s

    async def mark(self, store_mark: Callable[[], Coroutine[None, None, None]], lasts_s: float) -> None:
        """Let the store remember, for ``lasts_s`` at least, that somebody waits. Callers that come together share one
        request, and each returns when it is done: a caller that looked earlier could miss a change nobody was told of.

        Raises:
            StoreUnavailable: it could not.
        """
        mark = self._mark
        if mark is None or mark.done():
            loop = asyncio.get_running_loop()
            self._marked_until_s = loop.time() + lasts_s
            mark = self._mark = loop.create_task(store_mark())
        await asyncio.shield(mark)

    def wake(self) -> None:
        """The key, or a tag of it, changed; the store has forgotten the mark."""
        self._mark = None
        if not self._next_change.done():
            self._next_change.set_result(None)
        self._next_change = asyncio.get_running_loop().create_future()


class WaitingRooms:
    """All rooms of a process, by key and by tag."""

    def __init__(self) -> None:
        self._rooms: dict[str, Room] = {}
        self.closed = False
        self._keys_by_tag: defaultdict[str, set[str]] = defaultdict(set)

    def wake(self, name: str, is_key: bool) -> None:
        """Wake the callers who wait for a key or for a key with a tag; the arguments are those of `Wake`."""
        if not name:
            keys = list(self._rooms)
        elif is_key:
            keys = [name]
        else:
            keys = list(self._keys_by_tag.get(name, ()))
        for key in keys:
            room = self._rooms.get(key)
            if room is not None:
                room.wake()

    def close(self) -> None:
        """Wake everybody for the last time."""
        self.closed = True
        self.wake("", True)

    @contextmanager
    def enter(self, key: ResolvedKey) -> Iterator[Room]:
        """The room of a key, while the caller waits for it."""
        room = self._rooms.get(key.text)
        if room is None:
            room = self._rooms[key.text] = Room()
            for _, tag in key.tags:
                self._keys_by_tag[tag].add(key.text)
        room.callers += 1
        try:
            yield room
        finally:
            room.callers -= 1
            if not room.callers:
                del self._rooms[key.text]
                for _, tag in key.tags:
                    self._keys_by_tag[tag].discard(key.text)
                    if not self._keys_by_tag[tag]:
                        del self._keys_by_tag[tag]
