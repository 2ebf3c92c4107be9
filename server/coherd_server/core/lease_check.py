"""Whether a lease is still worth something: its stamps must be those of now [grant-time-stamps]."""

from __future__ import annotations

from coherd.catalog.catalog import ResolvedKey
from coherd_server.core.entry import EntryFormatError
from coherd_server.core.lease_bytes import Lease, decode_lease
from coherd_server.core.store import EpochRead, Store
from coherd_server.core.validity import expected_block, extra_refs_of


async def current_lease(
    store: Store, key: ResolvedKey, raw: bytes, identity: bytes, epochs: dict[str, EpochRead], needs_ms: int = 0
) -> Lease | None:
    """The lease in stored bytes, if its stamps are those of now.

    Args:
        store: where it was read.
        key: whose lease it is.
        raw: its bytes; empty where there is none.
        identity: of the key's node.
        epochs: of the tags that follow from the key. Those of the lease's extra tags are added here: read, or made to
            live ``needs_ms`` where an entry or a longer load is to carry them [epochs-outlive-entries].
        needs_ms: 0: they are only looked at.

    Raises:
        StoreUnavailable: epochs of extra tags cannot be read.
    """
    if not raw:
        return None
    try:
        lease = decode_lease(raw)
        extra = extra_refs_of(key, lease.block)
    except EntryFormatError:
        return None
    more = [tag for _, tag in extra if tag not in epochs]
    if more and needs_ms:
        epochs.update((await store.ensure_epochs([], dict.fromkeys(more, needs_ms)))[1])
    elif more:
        epochs.update(zip(more, (await store.read([], more))[1], strict=True))
    return lease if lease.block == expected_block(key, extra, identity, epochs) else None
