"""One connection to one primary: who answers on it, and the exchange of one batch at a time (P3).

redis-py connects and logs in; then this takes its transport over, because a `StreamReader` behind it and a task per
connection cost more than all the rest of a round trip (ADR 6).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b
from typing import Final, cast

import hiredis
from redis._parsers.base import BaseParser
from redis.exceptions import RedisError, ResponseError

from coherd_server.core.entry import IDENTITY_BYTES
from coherd_server.redis.causes import (
    CAUSES,
    CLUSTER_IS_OFF,
    NOT_A_PRIMARY,
    describe_error,
    describe_failed_connect,
    waiting_helps,
)
from coherd_server.redis.redis_py import (
    CONNECTION_ERRORS,
    Address,
    Command,
    RedisPyConnection,
    Reply,
    open_connection,
)
from coherd_server.redis.redis_url import RedisTarget
from coherd_server.redis.scripts import ALL
from coherd_server.redis.settings import StoreSettings

_pack: Final = cast(Callable[[Command], bytes], hiredis.pack_command)  # its stub allows tuples of one only
_INFO_LINE: Final = re.compile(rb"^([a-z0-9_]+):(.*?)\r?$", re.MULTILINE)


class ConnectionLost(Exception):
    """The connection is closed and must not be used again. The message holds no key, value or secret."""

    def __init__(self, address: Address, cause: str, *, sent: bool, refused: bool = False) -> None:
        super().__init__(f"{address}: {cause}")
        self.cause = cause
        """Why, without the address."""
        self.sent = sent
        """Commands may have reached the node."""
        self.refused = refused
        """The node will refuse the next attempt as well (password, mode): waiting does not help."""


def parse_info(raw: bytes) -> dict[str, str]:
    """Fields of an ``INFO`` or ``CLUSTER INFO`` reply."""
    return {name.decode(): value.decode("utf-8", "replace") for name, value in _INFO_LINE.findall(raw)}


class Connection(asyncio.Protocol):
    """A connected primary, with one exchange at a time; closed for good at the first irregularity."""

    def __init__(self, address: Address, settings: StoreSettings, *, cluster: bool) -> None:
        self.address = address
        self._settings = settings
        self._cluster = cluster
        self._loop = asyncio.get_running_loop()
        self._writer: asyncio.StreamWriter | None = None
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader(replyError=BaseParser.parse_error)
        self._replies: list[Reply] = []
        self._expected = 0
        self._done: Exchanged | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._echo_prefix = os.urandom(8)  # random: no stored value passes for it
        self._echo_number = 0
        self._echo = b""
        self.is_open = False
        """Whether it can carry an exchange."""
        self.offset_ms = 0.0
        """The node's clock minus `time.monotonic`, less up to the round trip of the check that read it."""
        self.round_trip_ms = 0.0
        """Of the last check."""
        self.identity = bytes(IDENTITY_BYTES)
        """As of the last check [node-identity]."""
        self.checked_at_s = -math.inf
        """`time.monotonic` of when the last check was sent."""
        self.scripts_loaded = False
        self.info: dict[str, str] = {}
        self.on_closed: Callable[[], None] = _nobody
        """Called once when it is closed, whoever does it."""

    @classmethod
    async def dial(cls, target: RedisTarget, address: Address, settings: StoreSettings, *, cluster: bool) -> Connection:
        """Connect, log in, learn the identity, load the scripts.

        Raises:
            ConnectionLost: not reachable in time, refused, or not a primary.
        """
        opened = open_connection(target, address, settings)
        connection = cls(address, settings, cluster=cluster)
        try:
            async with asyncio.timeout(2 * settings.connect_timeout_ms / 1000):
                await opened.connect()
            connection._take_over(opened)
        except CONNECTION_ERRORS as error:
            text = describe_failed_connect(error, tls=target.tls)
            raise ConnectionLost(address, text, sent=False, refused=not waiting_helps(error)) from None
        finally:
            if not connection.is_open:
                with contextlib.suppress(*CONNECTION_ERRORS):
                    await opened.disconnect(nowait=True)
        await connection.check()
        return connection

    def _take_over(self, opened: RedisPyConnection) -> None:
        """From here on the bytes come to this protocol, not to redis-py's reader."""
        writer = opened._writer
        if writer is None or writer.transport.is_closing():
            raise ConnectionResetError
        writer.transport.set_protocol(self)
        opened._reader = opened._writer = None
        self._writer = writer  # kept: a writer that is collected closes its transport
        self._transport = cast(asyncio.Transport, writer.transport)
        self.is_open = True

    def is_ready(self, identity: bytes | None, since_s: float) -> bool:
        """Whether it can carry a batch: role, identity and clock were read within the last `check_every_ms`.

        Args:
            identity: that the node must have.
            since_s: of `time.monotonic`; they must have been read later than that, too.
        """
        if not self.is_open or not self.scripts_loaded or self.identity != identity:
            return False
        return self.checked_at_s > max(time.monotonic() - self._settings.check_every_ms / 1000, since_s)

    def redis_now_ms(self) -> int:
        """The node's clock; never ahead of it, behind by at most the round trip of a check."""
        return int(time.monotonic() * 1000 + self.offset_ms)

    async def check(self) -> None:
        """Read role, identity and clock again, and load the scripts where that is due.

        Raises:
            ConnectionLost: no answer in time, or not a primary.
        """
        sent_at_s = time.monotonic()
        commands: list[Command] = [("INFO", "server", "replication", "persistence")]
        if self._cluster:
            commands.append(("CLUSTER", "INFO"))
        if not self.scripts_loaded:
            commands.extend(("SCRIPT", "LOAD", script.source) for script in ALL)
        replies = await self.exchange(commands, timeout_ms=self._settings.connect_timeout_ms)
        now_ms = time.monotonic() * 1000
        for reply in replies:
            if isinstance(reply, ResponseError):
                self.close()
                wrong_mode = self._cluster and reply is replies[1]
                text = CLUSTER_IS_OFF if wrong_mode else describe_error(reply)
                raise ConnectionLost(self.address, text, sent=False, refused=wrong_mode)
        info = parse_info(cast(bytes, replies[0]))
        mode = info.get("redis_mode", info.get("server_mode", "standalone"))
        self._require(info.get("loading", "0") == "0", CAUSES["LOADING"].text)
        self._require(mode != "sentinel", "this is a sentinel: use redis+sentinel://", refused=True)
        alone = self._cluster or mode != "cluster"
        self._require(alone, "cluster mode is on: use redis+cluster://", refused=True)
        self._require(info.get("role") == "master", NOT_A_PRIMARY)
        cluster = parse_info(cast(bytes, replies[1])) if self._cluster else {}
        self._require(cluster.get("cluster_state", "ok") == "ok", CAUSES["CLUSTERDOWN"].text)
        epoch = cluster.get("cluster_my_epoch", "")
        traits = f"{info.get('run_id')}|{info.get('master_replid')}|{epoch}"
        self.identity = blake2b(traits.encode(), digest_size=IDENTITY_BYTES).digest()
        self.info = info
        clock = info.get("server_time_usec", "")
        self._require(clock.isdigit(), "INFO names no server_time_usec: not a server this works with", refused=True)
        self.offset_ms = int(clock) / 1000 - now_ms
        self.round_trip_ms = now_ms - sent_at_s * 1000
        self.checked_at_s = sent_at_s
        self.scripts_loaded = True

    def _require(self, holds: bool, text: str, *, refused: bool = False) -> None:
        if not holds:
            self.close()
            raise ConnectionLost(self.address, text, sent=False, refused=refused)

    async def exchange(self, commands: Sequence[Command], *, timeout_ms: int) -> list[Reply]:
        """As `send`, awaited. Cancelling it closes the connection.

        Raises:
            ConnectionLost: anything but a complete set of replies.
        """
        future: asyncio.Future[list[Reply]] = self._loop.create_future()
        self.send(commands, partial(_settle, future), timeout_ms=timeout_ms)
        try:
            return await future
        except asyncio.CancelledError:
            self.close()
            raise

    def send(self, commands: Sequence[Command], done: Exchanged, *, timeout_ms: int) -> None:
        """Send all commands at once and hand all replies to ``done``, or what was lost; error replies are values.

        A numbered ``ECHO`` ends each batch: replies out of step by any number do not end with that number, and then
        nothing is handed out (P3). A time-out closes the connection. ``done`` is called once, at once where the
        connection is closed already. One exchange at a time.
        """
        transport = self._transport
        if transport is None:
            done(ConnectionLost(self.address, "connection lost", sent=False), self.redis_now_ms())
            return
        if self._done is not None:
            raise AssertionError("an exchange is under way")
        self._echo_number += 1
        self._echo = echo = b"%b%d" % (self._echo_prefix, self._echo_number)
        self._expected = len(commands) + 1
        self._replies = []
        self._done = done
        self._timer = self._loop.call_later(timeout_ms / 1000, self.close, "no answer in time")
        transport.write(b"".join(map(_pack, commands)) + _pack(("ECHO", echo)))

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._transport is None:
            return
        if self._done is None:
            self.close("unexpected reply")  # to nobody: the next exchange must not take it for its own
            return
        reader, replies = self._reader, self._replies
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                replies.append(reply)
        except hiredis.ProtocolError:
            self.close("unexpected reply")
            return
        if len(replies) < self._expected:
            return
        if len(replies) > self._expected:
            self.close("replies out of step")
            return
        last = replies.pop()
        if last != self._echo:  # a node that is busy refuses that, too
            self.close(describe_error(last) if isinstance(last, RedisError) else "replies out of step")
            return
        for reply in replies:
            if isinstance(reply, RedisError) and not isinstance(reply, ResponseError):  # the node is loading, full, ...
                self.close(describe_error(reply))
                return
        self._finish(replies)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.close("connection lost" if exc is None else describe_error(exc))

    def _finish(self, outcome: list[Reply] | ConnectionLost) -> None:
        done, self._done = self._done, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if done is not None:
            done(outcome, self.redis_now_ms())

    def close(self, text: str = "connection closed") -> None:
        """Close without waiting for the peer; an exchange under way is lost. Idempotent."""
        transport, self._transport = self._transport, None
        self.is_open = False
        if transport is not None:
            transport.abort()
            self._writer = None  # not before: a writer that is collected while it is open warns
            self.on_closed()
        self._finish(ConnectionLost(self.address, text, sent=True))


def _nobody() -> None:
    """Tells nobody."""


Exchanged = Callable[[list[Reply] | ConnectionLost, int], None]
"""Takes the replies to an exchange, or why there are none, and the node's time then (`Connection.redis_now_ms`)."""


def _settle(future: asyncio.Future[list[Reply]], outcome: list[Reply] | ConnectionLost, _: int) -> None:
    if future.done():
        return
    if isinstance(outcome, ConnectionLost):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
