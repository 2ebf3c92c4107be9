"""Callers that give up on a set while it is under way, then undo it elsewhere: it may not come back.

Such a set may be stored late, or never. But once its server knows that nobody wants it, what it still sends of it has a
fence and epochs from before: an invalidation or delete that begins after that ends it (P1) [given-up-is-not-written].
When the server knows is not for a clock to say: the caller is told so, or asks something behind it on the same
connection. Before that nothing is promised (docs/use/coherence.md), and the set counts as lost.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from coherence.history import GIVEN_UP, Operation
from coherence.traffic.caller import Caller
from coherence.traffic.keyspace import DROPPED, Item, derived_tags, key_target, tag_target

LONGEST_PATIENCE_S: Final = 0.03
"""Most have less: as long as a set takes, or so."""
LOOKS: Final = 4
"""Reads after the set was undone, over `LOOKED_S` at most: it may be on its way for some time."""
LOOKED_S: Final = 0.08


class GivingUp:
    """The behaviour of one process.

    Args:
        callers: over different transports, to the same servers.
        rng: of every choice.
        commit: makes a new version of a key.
    """

    def __init__(self, callers: Sequence[Caller], rng: random.Random, commit: Callable[[Item], int]) -> None:
        self._callers = callers
        self._rng = rng
        self._commit = commit

    async def act(self, server: int) -> None:
        """A set of little patience; if it was given up, what ends it, over any other way, and reads."""
        rng = self._rng
        item = rng.choice(DROPPED)
        if rng.random() < 0.1:
            await rng.choice(self._callers).get_or_load(server, item, rng)
            return
        done = await self._set(server, item)
        if done.outcome == GIVEN_UP:
            await self._undo(item, done)
            for _ in range(LOOKS):
                await self._caller.get(self._server, item)
                await asyncio.sleep(rng.random() * LOOKED_S / LOOKS)
        elif rng.random() < 0.3:  # so that some are absent
            await self._caller.delete(self._server, item)

    @property
    def _caller(self) -> Caller:
        return self._rng.choice(self._callers)

    @property
    def _server(self) -> int:
        return self._rng.randrange(self._callers[0].servers)

    async def _set(self, server: int, item: Item) -> Operation:
        """Most must ask for their fence first: for a tag nobody has seen, or because they look what is there."""
        rng, caller = self._rng, self._caller
        options: dict[str, Any] = {}
        if rng.random() < 0.6:
            name = "content" if item.key.startswith("analytics") else "user"
            item = item._replace(extra=((name, f"new-{caller.recorder.new_id()}"),))
        if rng.random() < 0.35:
            options["only_if_absent"] = True
        patience_s = rng.random() ** 2 * LONGEST_PATIENCE_S
        cancels = rng.random() < 0.6
        return await caller.impatient_set(server, item, self._commit(item), patience_s, cancels=cancels, **options)

    async def _undo(self, item: Item, done: Operation) -> None:
        """Delete it, or invalidate one of its tags."""
        assert done.value is not None
        tags = [tag for tag in (*derived_tags(item.key), *done.value.tags) if "/" in tag]
        way = self._rng.random()
        if way < 0.4 and tags:
            await self._caller.invalidate(self._server, tag_target(self._rng.choice(tags)))
        elif way < 0.55:
            await self._caller.invalidate(self._server, key_target(item))
        else:
            await self._caller.delete(self._server, item)
