"""A connection to the service: how its channel is opened, and how many calls share it."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import Any, Final

import grpc.aio

from coherd._rpc.methods import METHODS
from coherd._rpc.tls import TlsConfig
from coherd.contract.reasons import Retry
from coherd.errors import Unavailable

MAX_ANSWER_BYTES: Final = 256 * 1024 * 1024
"""Longest answer a client takes; a batch of large values is split before it gets there."""

OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    # gRPC repeats nothing by itself: what may be repeated is decided here, by reason and by rpc.
    ("grpc.enable_retries", 0),
    # The server allows a ping every 10 s, with or without calls.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A restarted server is found again within the back-off of a call.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.max_send_message_length", -1),
    # Connections are never shared behind our back: not with a forked parent's, not with another client's credentials.
    ("grpc.use_local_subchannel_pool", 1),
    # A cache is inside: the proxy of the environment is for the outside.
    ("grpc.enable_http_proxy", 0),
)
"""Channel options."""

MAX_CALLS: Final = 500
MAX_WAITS: Final = 1_000
"""Concurrent calls of a connection, together below the service's limit: what exceeds that is lost without a reason."""


def open_channel(target: str, tls: TlsConfig | None) -> grpc.aio.Channel:
    """A channel of its own connection. Does no I/O.

    It is opened without the context of the first caller, which what gRPC leaves in the event loop would keep alive.
    """
    return Context().run(_open_channel, target, tls)


def _open_channel(target: str, tls: TlsConfig | None) -> grpc.aio.Channel:
    options: list[tuple[str, Any]] = list(OPTIONS)
    if tls is None:
        return grpc.aio.insecure_channel(target, options)
    if tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return grpc.aio.secure_channel(target, tls.credentials(), options)


class Connection:
    """A channel with its callables, of one event loop (`coherd._rpc.forks.Connected`)."""

    __slots__ = ("calls", "channel", "in_flight", "places", "waits")

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.calls: dict[str, Any] = {
            method.rpc: channel.unary_unary(
                f"/coherd.v1.CacheService/{method.rpc}",
                request_serializer=method.message.SerializeToString,
                response_deserializer=method.response.FromString,
            )
            for method in METHODS.values()
        }
        """Callable of each rpc, by name."""
        self.in_flight = 0
        """Calls that use the channel now."""
        self.places = asyncio.Semaphore(MAX_CALLS)
        self.waits = asyncio.Semaphore(MAX_WAITS)
        """For calls that the service holds until somebody else's load ends: they must not keep out what ends it."""

    @property
    def is_connected(self) -> bool:
        """Always true."""
        return True

    @property
    def ends_in_loop(self) -> bool:
        """A channel without calls ends when it is dropped."""
        return False

    @property
    def in_use(self) -> bool:
        """Whether calls use the channel now."""
        return self.in_flight > 0

    async def ready(self, timeout_s: float) -> bool:
        """Waits until the channel is connected, or connecting has failed; True if it is connected.

        After True, a lost connection means that a request may have arrived; before, that it surely did not.

        Raises:
            Unavailable: it took longer than this.
        """
        try:
            async with asyncio.timeout(timeout_s):
                state = self.channel.get_state(try_to_connect=True)
                while state is not grpc.ChannelConnectivity.READY:
                    if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                        return False
                    await self.channel.wait_for_state_change(state)
                    state = self.channel.get_state(try_to_connect=True)
                return True
        except TimeoutError:
            raise Unavailable("no connection to the service within the time limit", retry=Retry.SAFE) from None

    async def close(self) -> None:
        """Ends its calls."""
        await self.channel.close(None)
