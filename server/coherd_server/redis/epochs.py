"""The epochs that writes are stamped with, and how long they are known to live, so that most writes read them instead
of ensuring them.

To ensure an epoch is a script's work per tag; a read is one name in an ``MGET``. A write needs the epoch and the
certainty that it lives at least as long as the entry [epochs-outlive-entries]. So the script is asked for more than is
needed, and until that is used up an epoch that still reads the same need not be ensured again. What was evicted, lost
or invalidated reads differently.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

from coherd_server.core.store import EpochRead, StoreUnavailable, WriteBasis
from coherd_server.redis.fencing import Fencing
from coherd_server.redis.jobs import Job, all_of, bytes_of
from coherd_server.redis.names import Names
from coherd_server.redis.router import Router
from coherd_server.redis.scripts import ENSURE_EPOCH
from coherd_server.redis.topology import Topology

MOST_TAGS: Final = 65_536
EXTRA_MS: Final = 3_600_000
"""How much longer than needed an epoch is made to live, at most; never more than twice as long."""


class KnownEpochs:
    """Remembers epochs that were ensured lately. Times in milliseconds of one clock that only the caller knows."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[EpochRead, int]] = {}

    def of(self, tag: str, until_ms: int) -> EpochRead | None:
        """The epoch that lives until then at least, if it is still there; None: it must be ensured."""
        known = self._known.get(tag)
        return known[0] if known is not None and known[1] >= until_ms else None

    def forget(self, tag: str) -> None:
        """The epoch was replaced, or is not there."""
        self._known.pop(tag, None)

    def note(self, tag: str, epoch: EpochRead, until_ms: int) -> None:
        """The epoch was found, or made, to live until then."""
        known = self._known
        known.pop(tag, None)
        known[tag] = (epoch, until_ms)
        if len(known) > MOST_TAGS:
            del known[next(iter(known))]


def lifetime_to_ask_ms(need_ms: int) -> int:
    """The lifetime to ask for."""
    return need_ms + min(need_ms, EXTRA_MS)


class Epochs:
    """What a write must know before it begins: the epochs of its tags, and how far the fences are written.

    Args:
        router: brings what is asked to the nodes.
        topology: that the router goes by.
        fencing: of the store.
        names: of the store.
    """

    def __init__(self, router: Router, topology: Topology, fencing: Fencing, names: Names) -> None:
        self._router = router
        self._topology = topology
        self._fencing = fencing
        self._names = names
        self._known = KnownEpochs()

    def forget(self, tag: str) -> None:
        """The epoch of a tag was replaced, or is not there."""
        self._known.forget(tag)

    async def ensure(
        self, keys: Sequence[str], tags: Mapping[str, int]
    ) -> tuple[Sequence[WriteBasis], Mapping[str, EpochRead]]:
        """See `Store.ensure_epochs`."""
        now_ms = int(time.monotonic() * 1000)
        known = {tag: kept for tag, need_ms in tags.items() if (kept := self._known.of(tag, now_ms + need_ms))}
        fences = self._fencing.token_jobs([self._names.value_prefix + key for key in keys])
        wanted = [tag for tag in tags if tag not in known]
        epochs: dict[str, EpochRead] = {}
        try:
            values, answers = await self._router.fetch(
                [self._names.epoch_prefix + tag for tag in known],
                fences + [self._ensure_epoch(tag, tags[tag]) for tag in wanted],
                repeat=True,
            )
            told = all_of(answers)
            for tag, kept in known.items():  # of another node nothing is known: it may have come back with less time
                read = values[self._names.epoch_prefix + tag]
                if (read.raw, read.identity) == kept:
                    epochs[tag] = kept
            lost = [tag for tag in known if tag not in epochs]
            ensured = told[len(fences) :]
            if lost:
                jobs = [self._ensure_epoch(tag, tags[tag]) for tag in lost]
                ensured += all_of((await self._router.fetch((), jobs, repeat=True))[1])
        except StoreUnavailable as error:  # a fence or an epoch nobody carries changes nothing
            raise StoreUnavailable(str(error), full=error.full, cause=error.cause) from None
        for tag, done in zip(wanted + lost, ensured, strict=True):
            epochs[tag] = EpochRead(bytes_of(done.answer)[1:], done.identity)
            self._known.note(tag, epochs[tag], now_ms + lifetime_to_ask_ms(tags[tag]))
        bases = [
            WriteBasis(done.identity, done.redis_now_ms, bytes_of(done.answer)[1:]) for done in told[: len(fences)]
        ]
        if bases and self._topology.one_primary:
            bases *= len(keys)
            if (node := self._topology.only_node) is not None:
                node.learn(bases[0].identity, bases[0].fencing_token)
        return bases, epochs

    def remembered(self, tags: Mapping[str, int]) -> tuple[WriteBasis, Mapping[str, EpochRead]] | None:
        """See `Store.remembered`."""
        node = self._topology.only_node
        basis = node.remembered() if node is not None else None
        if basis is None:
            return None
        now_ms = int(time.monotonic() * 1000)
        unknown = EpochRead(None, basis.identity)
        epochs: dict[str, EpochRead] = {}
        for tag, need_ms in tags.items():
            read = self._known.of(tag, now_ms + need_ms)
            epochs[tag] = read if read is not None and read.identity == basis.identity else unknown
        return basis, epochs

    def _ensure_epoch(self, tag: str, need_ms: int) -> Job:
        return Job(ENSURE_EPOCH, (self._names.epoch_prefix + tag,), (lifetime_to_ask_ms(need_ms),))
