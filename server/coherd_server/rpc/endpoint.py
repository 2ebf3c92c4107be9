"""One way into every unary rpc: bytes are parsed here, failures become statuses here, and nothing else leaves.

Requests and responses pass gRPC as bytes: an exception in a deserializer of gRPC's own would reach the caller with its
text, which may hold a key.
"""

from __future__ import annotations

import asyncio
import secrets
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, NamedTuple, TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from grpc.aio import AbortError

from coherd.contract.reasons import Refusal
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.domain.access import Principal
from coherd_server.domain.failure import UNKNOWN, Failure
from coherd_server.rpc.errors import DETAILS_KEY, Failed, failure_in, status_code, status_details
from coherd_server.rpc.principals import Principals
from coherd_server.rpc.types import Context, Handler

_log = structlog.get_logger("coherd.rpc")
_DEADLINE_SHARE: Final = 0.9
"""Part of a caller's deadline the server uses, so that its own answer still arrives."""
_UNANSWERED: Final = Failure(
    ErrorReason.ERROR_REASON_STORE_UNAVAILABLE,
    "the store did not answer within the call's deadline; nothing was changed",
)


class Call(NamedTuple):
    """What a method knows of its caller besides the request."""

    principal: Principal
    context: Context
    parked: Callable[[], AbstractContextManager[None]]
    """While it is entered the call waits for somebody else and does not count as in flight."""

    def wait_ms(self, wanted_ms: int) -> int:
        """The longest wait that leaves time for an answer within the caller's deadline."""
        remaining_s = self.context.time_remaining()
        return wanted_ms if remaining_s is None else min(wanted_ms, max(0, int(remaining_s * 800)))


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

    async def drain(self) -> None:
        """Refuse calls from now on; returns when the running ones have ended."""
        self._draining = True
        if self._in_flight:
            await self._idle.wait()

    def unary(self, request_type: type[M], method: Method[M], *, reads_only: bool) -> Handler:
        """The handler of a unary rpc."""

        async def handle(data: bytes, context: Context) -> bytes:
            try:
                answer = await self._serve(request_type, method, data, context, reads_only)
                return answer if isinstance(answer, bytes) else answer.SerializeToString()
            except (Failed, Refusal) as error:
                failure = failure_in(error)
            except (AbortError, asyncio.CancelledError):
                raise
            except Exception as error:  # noqa: BLE001 - the edge: no text of an exception may leave
                failure = _incident(error)
            await abort(context, failure)
            raise AssertionError("abort returned")

        return grpc.unary_unary_rpc_method_handler(handle)

    async def _serve(
        self, request_type: type[M], method: Method[M], data: bytes, context: Context, reads_only: bool
    ) -> Message | bytes:
        if self._draining:
            raise Failed(Failure(ErrorReason.ERROR_REASON_DRAINING, "this server is stopping; another replica answers"))
        if self._in_flight >= self._max_in_flight:
            raise Failed(Failure(ErrorReason.ERROR_REASON_OVERLOADED, "too many calls in flight"))
        self._in_flight += 1
        try:
            principal = self._principals.of(context)
            request = parse(request_type, data)
            remaining_s = context.time_remaining()
            budget_s = None if remaining_s is None else remaining_s * _DEADLINE_SHARE
            try:
                async with asyncio.timeout(budget_s):
                    return await method(request, Call(principal, context, self._parked))
            except TimeoutError:
                raise Failed(_UNANSWERED if reads_only else UNKNOWN) from None
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
        name = request_type.DESCRIPTOR.full_name
        raise Refusal(ErrorReason.ERROR_REASON_REQUEST_MALFORMED, f"the request is not a valid {name}") from None


async def abort(context: Context, failure: Failure) -> None:
    """End a call with a failure; raises `grpc.aio.AbortError`."""
    metadata = ((DETAILS_KEY, status_details(failure)),)
    await context.abort(status_code(failure), failure.message, trailing_metadata=metadata)


def not_served(what: str) -> Failure:
    """The failure of an rpc that is defined and not served yet."""
    return Failure(ErrorReason.ERROR_REASON_NOT_SERVED_YET, f"{what} is defined but not served by this version")


def _incident(error: Exception) -> Failure:
    """Log a defect without the exception's text, which may hold a key, and name it by an id."""
    incident = secrets.token_hex(4)
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    _log.error("internal error", incident=incident, error=type(error).__name__, frames=frames[-8:])
    return Failure(ErrorReason.ERROR_REASON_INTERNAL, f"internal error; incident {incident} in the server's log")
