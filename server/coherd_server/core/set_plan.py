"""A set that was checked: how long its value lives, what is stored of it, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from coherd.catalog.requests import SetItem
from coherd.contract.tags import TagRef
from coherd_server.core.entry import Flags, Times, encode_header, plain_header
from coherd_server.core.store import PutOutcome

_new: Final = tuple.__new__
"""Makes a named tuple without the call of its constructor."""


class SetDone(NamedTuple):
    """What a set did."""

    outcome: PutOutcome
    """STORED, PRESENT (a fresh value is present) or OLDER_VERSION."""
    ttl_ms: int = 0


class SetPlan(NamedTuple):
    """An item that was checked (`plan_of`). Times in milliseconds."""

    item: SetItem
    ttl_ms: int
    stale_ms: int
    """How long the value may be served stale after its TTL."""
    extra: tuple[TagRef, ...]
    tags: Sequence[str]
    """All its tags: the key's own, and extra ones."""
    load_ms: int = 0
    """How long the value took to load."""

    @property
    def lifetime_ms(self) -> int:
        """How long it is stored, and its epochs must live at least."""
        return self.ttl_ms + self.stale_ms

    def entry(self, block: bytes, now_ms: int) -> bytes:
        """What is stored.

        Args:
            block: the stamps.
            now_ms: unix milliseconds by the clock of the key's node.
        """
        item, ttl_ms, stale_ms, extra, _, load_ms = self
        if not (extra or item.negative or item.version is not None):
            return plain_header(now_ms, now_ms + ttl_ms, stale_ms, load_ms, block) + item.payload
        flags = Flags.NONE
        if item.negative:  # stamped like any other [nothing-is-an-entry]
            flags |= Flags.NEGATIVE
        if item.version is not None:
            flags |= Flags.VERSIONED
        if extra:
            flags |= Flags.EXTRA_TAGS
        times = Times(now_ms, now_ms + ttl_ms, stale_ms, load_ms)
        return encode_header(flags=flags, version=item.version or 0, times=times, block=block) + item.payload


def plan_of(item: SetItem, ttl_ms: int, extra: tuple[TagRef, ...], load_ms: int = 0) -> SetPlan:
    """The plan of an item.

    Args:
        item: what is to be stored.
        ttl_ms: what `coherd.catalog.requests.check_set` chose.
        extra: its extra tags.
        load_ms: how long the value took to load.
    """
    tags = [tag for _, tag in item.key.stamp_starts]
    if extra:
        tags += [tag for _, tag in extra]
    stale_ms = 0 if item.negative else item.key.policy.stale_ms
    return _new(SetPlan, (item, ttl_ms, stale_ms, extra, tags, load_ms))


def needs_of(plans: Iterable[SetPlan]) -> dict[str, int]:
    """Tags, and how long the epoch of each must live at least, in milliseconds."""
    needs: dict[str, int] = {}
    for plan in plans:
        lifetime_ms = plan.lifetime_ms
        for tag in plan.tags:
            if needs.get(tag, 0) < lifetime_ms:
                needs[tag] = lifetime_ms
    return needs
