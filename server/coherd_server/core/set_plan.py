"""What a set is asked to store, and how long that lives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from coherd.catalog.requests import SetItem
from coherd.contract.tags import TagRef
from coherd_server.core.store import PutOutcome


class SetDone(NamedTuple):
    """What a set did."""

    outcome: PutOutcome
    """STORED, PRESENT (a fresh value is present) or OLDER_VERSION."""
    ttl_ms: int = 0


class SetPlan(NamedTuple):
    """An item that was checked."""

    item: SetItem
    ttl_ms: int
    extra: tuple[TagRef, ...]

    @property
    def tags(self) -> list[str]:
        return [tag for _, tag in (*self.item.key.tags, *self.extra)]

    @property
    def stale_ms(self) -> int:
        return 0 if self.item.negative else self.item.key.policy.stale_ms

    @property
    def lifetime_ms(self) -> int:
        return self.ttl_ms + self.stale_ms


def needs_of(plans: Iterable[SetPlan]) -> dict[str, int]:
    """Tags, and how long the epoch of each must live at least, in milliseconds."""
    needs: dict[str, int] = {}
    for plan in plans:
        lifetime_ms = plan.lifetime_ms
        for tag in plan.tags:
            if needs.get(tag, 0) < lifetime_ms:
                needs[tag] = lifetime_ms
    return needs
