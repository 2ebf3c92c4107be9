"""One way into every unary rpc: bytes are parsed here, failures become statuses here, and nothing else leaves.

Requests and responses pass gRPC as bytes: an exception in a deserializer of gRPC's own would reach the caller with its
text, which may hold a key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final, NamedTuple, TypeAlias, TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from grpc.aio import AbortError

from coherd.contract.reasons import Refusal
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.access import Principal
from coherd_server.core.failure import UNKNOWN, Failure, refused
from coherd_server.core.get import Lookup
from coherd_server.rpc.errors import Context, Failed, abort, failure_in, malformed
from coherd_server.rpc.incidents import INCIDENTS
from coherd_server.rpc.principals import Principals

_log = structlog.get_logger("coherd.rpc")
_DEADLINE_SHARE: Final = 0.9
"""Part of a caller's deadline the server uses, so that its own answer still arrives."""
_TICK_S: Final = 0.005
_QUIET_TICKS: Final = 6
"""Together shorter than a refused caller waits before it tries again (`coherd.contract.reasons`)."""
_MOST_TICKS: Final = 60
DRAINING: Final = Failure(ErrorReason.ERROR_REASON_DRAINING, "this server is stopping; another server answers")
OVERLOADED: Final = Failure(ErrorReason.ERROR_REASON_OVERLOADED, "too many calls in flight")
_UNANSWERED: Final = Failure(
    ErrorReason.ERROR_REASON_STORE_UNAVAILABLE,
    "the store did not answer within the call's deadline; nothing was changed",
)


Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"
KeepNear: TypeAlias = Callable[[pb.Hit, Lookup], None]


def not_kept(hit: pb.Hit, lookup: Lookup) -> None:
    """The `KeepNear` of a caller without a near cache."""


class Call(NamedTuple):
    """What a method knows of its caller besides the request."""

    principal: Principal
    end_s: float | None
    """`time.monotonic` of the caller's deadline; None: it gave none."""
    parked: Callable[[], AbstractContextManager[None]]
    """While it is entered the call waits for somebody else and does not count as in flight."""
    context: Context | None = None
    """gRPC's, of a unary call."""
    keep_near: KeepNear = not_kept
    """Called with each value that is found and the message it is in: a session lets its near cache keep it."""

    def wait_ms(self, wanted_ms: int) -> int:
        """The longest wait that leaves time for an answer within the caller's deadline."""
        if self.end_s is None:
            return wanted_ms
        return min(wanted_ms, max(0, int((self.end_s - time.monotonic()) * 800)))


M = TypeVar("M", bound=Message)
Method = Callable[[M, Call], Awaitable[Message | bytes]]


class Endpoint:
    """Wraps methods into gRPC handlers.

    Args:
        principals: maps a call's credential to a principal.
        max_in_flight: unary calls served at one time; more are refused as OVERLOADED.
    """

    def __init__(self, principals: Principals, *, max_in_flight: int) -> None:
        self._principals = principals
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._refused = 0
        """Calls refused because it drains."""

    async def drain(self) -> None:
        """Refuse calls from now on; returns when the running ones have ended."""
        self._draining = True
        if self._in_flight:
            await self._idle.wait()

    async def quiet(self) -> None:
        """While it drains: returns when no more calls come for the moment, or after `_MOST_TICKS`.

        gRPC ends as CANCELLED what it has accepted and not handed over when its server is stopped, and a caller cannot
        know that such a call did nothing. Not a time is waited but turns of the loop: in a process that stood still
        time goes by, and what waits is not seen.
        """
        quiet, refused = 0, self._refused
        for _ in range(_MOST_TICKS):
            await asyncio.sleep(_TICK_S)
            quiet = quiet + 1 if self._refused == refused else 0
            refused = self._refused
            if quiet == _QUIET_TICKS:
                return

    def unary(self, request_type: type[M], method: Method[M], *, reads_only: bool) -> Handler:
        """The handler of a unary rpc."""

        async def handle(data: bytes, context: Context) -> bytes:
            answer: Message | bytes | Failure
            if self._draining:
                self._refused += 1
                answer = DRAINING
            else:
                try:
                    principal = self._principals.of(context)
                    request = parse(request_type, data)
                except Refusal as refusal:
                    answer = refused(refusal)
                else:
                    remaining_s = context.time_remaining()
                    answer = await self.serve(
                        method, request, principal, remaining_s, reads_only=reads_only, context=context
                    )
            if isinstance(answer, bytes):
                return answer
            if not isinstance(answer, Failure):
                try:
                    return answer.SerializeToString()
                except Exception as error:  # noqa: BLE001 - the edge: no text of an exception may leave
                    answer = INCIDENTS.note(error)
            await abort(context, answer)
            raise AssertionError("abort returned")

        return grpc.unary_unary_rpc_method_handler(handle)

    async def serve(
        self,
        method: Method[M],
        request: M,
        principal: Principal,
        remaining_s: float | None,
        *,
        reads_only: bool,
        context: Context | None = None,
        keep_near: KeepNear = not_kept,
    ) -> Message | bytes | Failure:
        """The answer of a method, or why there is none; raises nothing but cancellation, and what ends a unary call.

        Args:
            method: what to call.
            request: what it is asked.
            principal: who asks.
            remaining_s: until the caller's deadline, in seconds; None: it gave none.
            reads_only: nothing is changed, so a late answer leaves nothing unknown.
            context: gRPC's, of a unary call.
            keep_near: see `Call`.
        """
        if self._in_flight >= self._max_in_flight:
            return OVERLOADED
        self._in_flight += 1
        try:
            end_s = None if remaining_s is None else time.monotonic() + remaining_s
            async with asyncio.timeout(None if remaining_s is None else remaining_s * _DEADLINE_SHARE):
                return await method(request, Call(principal, end_s, self._parked, context, keep_near))
        except TimeoutError:
            return _UNANSWERED if reads_only else UNKNOWN
        except (Failed, Refusal) as error:
            return failure_in(error)
        except AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - the edge: no text of an exception may leave
            return INCIDENTS.note(error)
        finally:
            self._in_flight -= 1
            if self._draining and not self._in_flight:
                self._idle.set()

    @contextmanager
    def _parked(self) -> Iterator[None]:
        self._in_flight -= 1
        try:
            yield
        finally:
            self._in_flight += 1


def parse(request_type: type[M], data: bytes) -> M:
    """The request in the bytes of a call.

    Raises:
        Refusal: REQUEST_MALFORMED.
    """
    try:
        return request_type.FromString(data)
    except DecodeError:
        raise malformed(request_type) from None


def not_served(what: str) -> Failure:
    """The failure of an rpc that is defined and not served yet."""
    return Failure(ErrorReason.ERROR_REASON_NOT_SERVED_YET, f"{what} is defined but not served by this version")


class Handlers(grpc.GenericRpcHandler):
    """Finds the handler of a call by its path."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """The handler of a call; None: unknown to this server."""
        return self._handlers.get(handler_call_details.method)
