"""Whether a lease is still worth something (rule 4)."""

from __future__ import annotations

from coherd.catalog.catalog import ResolvedKey
from coherd.contract.entry import EntryFormatError
from coherd.contract.lease import GRANT_BYTES, Lease, decode_lease
from coherd.contract.reasons import Refusal
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.store import EpochRead, Store
from coherd_server.core.validity import expected_block, extra_refs_of


def check_grant(grant: bytes) -> None:
    """Raises:
    Refusal: REQUEST_INVALID where it has another length.
    """
    if len(grant) != GRANT_BYTES:
        message = f"a grant has {GRANT_BYTES} bytes: as LeaseGranted said it"
        raise Refusal(ErrorReason.ERROR_REASON_REQUEST_INVALID, message, field="grant")


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
            live ``needs_ms`` where an entry or a longer load is to carry them (rule 1).
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
