"""The verbs of the cache over the store port, put together."""

from __future__ import annotations

from dataclasses import dataclass

from coherd_server.core.coalescer import Coalescer
from coherd_server.core.counters import Counters
from coherd_server.core.filling import Filler
from coherd_server.core.get import Reader
from coherd_server.core.granted_leases import GrantedLeases
from coherd_server.core.invalidate import Changer
from coherd_server.core.lease import Leases
from coherd_server.core.near.publish import ChangePublisher
from coherd_server.core.set import Writer
from coherd_server.core.store import Store


@dataclass(frozen=True, slots=True)
class Cache:
    """What the rpcs call."""

    reads: Reader
    writes: Writer
    coalescer: Coalescer
    changes: Changer
    leases: Leases
    fills: Filler


def build_cache(store: Store, publisher: ChangePublisher, counters: Counters, *, max_value_bytes: int) -> Cache:
    """The verbs over one store; near caches are told of its changes."""
    reader = Reader(store, counters)
    writer = Writer(store, reader, publisher, counters, max_value_bytes=max_value_bytes)
    changer = Changer(store, reader, publisher, counters)
    grants = GrantedLeases()
    leases = Leases(store, reader, grants, counters)
    fills = Filler(store, grants, publisher, counters, max_value_bytes=max_value_bytes)
    return Cache(reader, writer, Coalescer(store, reader, writer), changer, leases, fills)
