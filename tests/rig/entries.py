"""Entry bytes for tests of the store."""

from __future__ import annotations

from coherd_server.core.entry import Flags, Times, encode_header, stamp_block
from coherd_server.core.store import Put, Store


def header(identity: bytes, *, version: int | None = None, written_at_ms: int = 1) -> bytes:
    """A header without stamps; headers differ by ``written_at_ms``."""
    flags = Flags.NONE if version is None else Flags.VERSIONED
    times = Times(written_at_ms, written_at_ms + 1000)
    return encode_header(flags=flags, version=version or 0, times=times, block=stamp_block(identity, []))


async def identity_of(store: Store, key: str) -> bytes:
    """Identity of the key's node."""
    [value], _ = await store.read([key], [])
    return value.identity


async def put_of(
    store: Store, key: str, payload: bytes = b"v", *, version: int | None = None, replaces: bytes | None = None
) -> Put:
    """A put that is stamped with the identity and fence of now and lives a minute."""
    [basis], _ = await store.ensure_epochs([key], {})
    entry = header(basis.identity, version=version) + payload
    return Put(key, entry, 60_000, basis.identity, basis.fencing_token, replaces)


async def refenced(store: Store, put: Put) -> Put:
    """The put as a later write: with the fence of now."""
    [basis], _ = await store.ensure_epochs([put.key], {})
    return put._replace(fencing_token=basis.fencing_token)
