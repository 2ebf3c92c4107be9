"""Values that the near cache of this process answers."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from coherd._calls import messages
from coherd._near import Kept
from coherd._near.turns import TURNS
from coherd._rpc.protocol import Transport
from coherd.codec import ValueDecodeError
from coherd.key import ReadKey

V = TypeVar("V")


def near_value(key: ReadKey[V], kept: Kept, shared: bool | None) -> V | None:
    """The value that is kept near; None for a remembered "there is nothing".

    Args:
        key: of the item.
        kept: what the near cache holds of it.
        shared: the caller takes the one value that all get who say so; None: as the catalog says.

    Raises:
        TypeError: it is no `Key`.
        UndecodableValue: the payload is not a value of the key's type.
    """
    try:
        codec = key.codec
    except AttributeError:
        raise messages.not_a_key(key) from None
    if shared is None:
        shared = key.shared
    decoded = kept.shared if shared else kept.copied
    if decoded is not None and decoded.codec is codec:
        copy = decoded.copy
        return decoded.value if copy is None else copy()  # type: ignore[no-any-return]
    try:
        return kept.decode(codec, shared)  # type: ignore[no-any-return]
    except ValueDecodeError as error:
        raise messages.undecodable(key, error) from None


async def lookup_after_turns(transport: Transport, key: str) -> Kept | None:
    """What is kept of a key after the event loop has had the turns that hits owe it [hits-give-turns]."""
    await take_turns()
    return transport.lookup_near(key)


async def take_turns() -> None:
    """Let the event loop run, so that it takes what was pushed."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
