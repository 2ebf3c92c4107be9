"""Reads the log as it grows: a connection of its own to the node that holds it, which waits there (``XREAD BLOCK``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from redis.exceptions import AskError, ResponseError

from coherd_server.core.near.change_log import Change, Changes, LogPosition, LogUnavailable
from coherd_server.redis.causes import describe_refusal
from coherd_server.redis.connection import Connection, ConnectionLost
from coherd_server.redis.redis_py import Address, Reply
from coherd_server.redis.redis_url import RedisTarget
from coherd_server.redis.settings import StoreSettings
from coherd_server.redis.topology import Topology

WAIT_MS: Final = 1_000
"""How long one read waits for something new; then it looks whether the log is still held there."""
READ_ENTRIES: Final = 1_000
_FIELDS: Final = frozenset({b"g", b"n", b"w"})


class LogReader:
    """One reader at a time. Cancelling a read closes the connection; the next one opens another."""

    def __init__(self, target: RedisTarget, topology: Topology, settings: StoreSettings, name: str) -> None:
        self._target = target
        self._topology = topology
        self._settings = settings
        self._name = name
        self._connection: Connection | None = None

    async def read(self, after: LogPosition) -> Changes:
        """The entries behind a position, under the identity of the connection that gave them.

        Raises:
            LogUnavailable: no answer, or none of a primary. The next read connects anew.
        """
        try:
            connection = await self._connected(after.identity)
            command = ("XREAD", "COUNT", READ_ENTRIES, "BLOCK", WAIT_MS, "STREAMS", self._name, f"{after.offset}-0")
            timeout_ms = WAIT_MS + self._settings.reply_timeout_ms
            # The role behind the read: a primary that was demoted meanwhile may have read its successor's entries.
            reply, role = await connection.exchange([command, ("INFO", "replication")], timeout_ms=timeout_ms)
            entries = self._entries(connection.address, reply, role)
            return Changes(connection.identity, entries, len(entries) >= READ_ENTRIES)
        except ConnectionLost as lost:
            self._connection = None
            self._topology.refresh()
            raise LogUnavailable(str(lost)) from None
        except BaseException:
            self.close()
            raise

    async def _connected(self, identity: bytes) -> Connection:
        """A connection that knows its node by this identity, or a new one: it learns who the node is when it is made,
        and an identity may change under it (slots that move)."""
        node = self._topology.node_for(self._name)
        if node is None:
            raise LogUnavailable(self._topology.trouble())
        before = self._connection
        if before is not None and (before.address != node.address or before.identity != identity):
            self.close()
        if self._connection is None:
            cluster = not self._topology.one_primary
            self._connection = await Connection.dial(self._target, node.address, self._settings, cluster=cluster)
        return self._connection

    def _entries(self, address: Address, reply: Reply, role: Reply) -> Sequence[Change]:
        """Raises:
        LogUnavailable: the node refuses, or is no primary.
        """
        if isinstance(reply, ResponseError):
            node = self._topology.node_for(self._name)
            if isinstance(reply, AskError) and node is not None:
                self._topology.redirect(reply, node)
            self._topology.refresh()
            raise LogUnavailable(f"{address}: {describe_refusal(reply)}")
        if not isinstance(role, bytes) or b"role:master" not in role:
            self._topology.refresh()
            raise LogUnavailable(f"{address}: the node is not a primary")
        if reply is None:
            return ()
        if not isinstance(reply, list):
            raise LogUnavailable(f"{address}: unexpected reply")
        return [_change(entry) for entry in reply[0][1]]

    def close(self) -> None:
        """Close the connection. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _change(entry: Sequence[bytes | Sequence[bytes]]) -> Change:
    """An entry as the script wrote it; one that is none of ours has no generation: a gap to whoever follows."""
    name, flat = entry
    if not isinstance(name, bytes) or isinstance(flat, bytes):
        raise LogUnavailable("unexpected reply")
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    names = fields.get(b"n", b"").decode("utf-8", "replace")
    offset, _, sequence = name.partition(b"-")
    generation = fields.get(b"g", b"") if sequence == b"0" else b""
    split = tuple(names.split("\n")) if names else ()
    known = fields.keys() <= _FIELDS and all(each[:1] in ("k", "t") for each in split)
    return Change(generation, int(offset), split, fields.get(b"w") == b"1", known)
