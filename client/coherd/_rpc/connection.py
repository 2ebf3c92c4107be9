"""A connection to the service: how its channel is opened, how many calls share it, whether its server still lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final

import grpc.aio

from coherd._rpc.methods import METHODS
from coherd._rpc.sign_of_life import SignOfLife
from coherd._rpc.tls import TlsConfig
from coherd.contract.reasons import Retry
from coherd.errors import Unavailable

MAX_ANSWER_BYTES: Final = 256 * 1024 * 1024
"""Longest answer a client takes; a batch of large values is split before it gets there."""

OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    # gRPC repeats nothing by itself: what may be repeated is decided here, by reason and by rpc.
    ("grpc.enable_retries", 0),
    # For connections without calls, so that nothing on the way forgets them; while something is asked there is a sign
    # of life of our own. The server allows a ping every 10 s. How long one is waited for is said by ping_timeout_ms:
    # keepalive_timeout_ms has no effect.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A restarted server is found again within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.max_send_message_length", -1),
    # Connections are never shared behind our back: not with a forked parent's, not with another client's credentials.
    ("grpc.use_local_subchannel_pool", 1),
    # A cache is inside: the proxy of the environment is for the outside.
    ("grpc.enable_http_proxy", 0),
)
"""Channel options."""

_HEALTH_CHECK: Final = "/grpc.health.v1.Health/Check"
_NO_SIGN: Final = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)

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
    """A channel with its callables, of one event loop (`coherd._rpc.forks.Connected`).

    Args:
        channel: of its own connection.
        silence_ms: longest silence of a server that owes an answer; then the connection is lost.
        on_silent: called when it is.
    """

    def __init__(self, channel: grpc.aio.Channel, silence_ms: int, on_silent: Callable[[Connection], None]) -> None:
        self.channel = channel
        self.asked = 0
        """Calls that were sent and are not answered."""
        self.is_silent = False
        """Whether it was lost since the server gave no sign of life."""
        self._on_silent = on_silent
        self._check: Any = channel.unary_unary(_HEALTH_CHECK)
        self._check_timeout_s = silence_ms / 1_000
        self._tasks: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        self._life = SignOfLife(loop, silence_ms, self)
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
        return self.in_flight > 0 or bool(self._tasks)

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

    async def ask(self, rpc: str, message: Any, timeout_s: float, metadata: Any) -> Any:
        """The answer of an rpc.

        Raises:
            grpc.aio.AioRpcError: as gRPC says.
            asyncio.CancelledError: also where the connection was closed, or `is_silent`.
        """
        self.asked += 1
        life = self._life
        life.sent = True
        if not life.is_watching:
            life.watch()
        try:
            answer = await self.calls[rpc](message, timeout=timeout_s, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            life.heard |= error.code() not in _NO_SIGN
            raise
        finally:
            self.asked -= 1
        life.heard = True
        return answer

    def is_owed(self) -> bool:
        """See `Watched`."""
        return self.asked > 0

    def ask_for_sign(self) -> bool:
        """See `Watched`."""
        self._start(self._check_health())
        return True

    async def _check_health(self) -> None:
        """Any answer is one, also that health is not known here, or that there is no connection: that is no silence."""
        try:
            await self._check(b"", timeout=self._check_timeout_s)
        except grpc.aio.AioRpcError as error:
            if error.code() in _NO_SIGN:
                return
        except (asyncio.CancelledError, grpc.aio.UsageError):  # the channel was closed
            return
        self._life.heard = True

    def fall_silent(self) -> None:
        """See `Watched`."""
        self.is_silent = True
        self._on_silent(self)
        self._start(self.close())

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Ends its calls."""
        self._life.close()
        await self.channel.close(None)
