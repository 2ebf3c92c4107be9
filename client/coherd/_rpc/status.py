"""Status of a failed rpc to an error: by the `google.rpc` details of Coherd, else by the status code.

Never by its text, but for those that gRPC itself writes: in place of a status, and for a message over its limit.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from coherd import errors
from coherd.contract.reasons import ERROR_DOMAIN, Retry, reason_of
from coherd.errors import CacheError
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1.errors_pb2 import ErrorReason

_DETAILS_KEY: Final = "grpc-status-details-bin"
_Code = grpc.StatusCode


class _Row(NamedTuple):
    kind: type[CacheError]
    retry: Retry
    message: str


_OTHER: Final = _Row(errors.ServerDefect, Retry.NEVER, "the answer is not Coherd's")
_BY_CODE: Final[dict[grpc.StatusCode, _Row]] = {
    _Code.UNAVAILABLE: _Row(errors.Unavailable, Retry.IDEMPOTENT, "no connection to the service, or it was lost"),
    _Code.CANCELLED: _Row(errors.Unavailable, Retry.IDEMPOTENT, "the call was ended on its way to the service"),
    _Code.DEADLINE_EXCEEDED: _Row(errors.DeadlineExceeded, Retry.IDEMPOTENT, "no answer within the time limit"),
    # Something on the way limits the rate, or more than gRPC says it is (`_TOO_LARGE`).
    _Code.RESOURCE_EXHAUSTED: _Row(errors.Overloaded, Retry.NEVER, "a limit on the way to the service was exceeded"),
    _Code.INVALID_ARGUMENT: _Row(errors.InvalidRequest, Retry.NEVER, "the request was refused"),
    _Code.UNAUTHENTICATED: _Row(errors.NotPermitted, Retry.NEVER, "no valid credential"),
    _Code.PERMISSION_DENIED: _Row(errors.NotPermitted, Retry.NEVER, "not permitted"),
    _Code.UNIMPLEMENTED: _Row(errors.NotServed, Retry.NEVER, "the server does not know this operation"),
}
_WRITE_FAILED: Final = "Internal error from Core"
"""What grpc.aio says, with INTERNAL, in place of the status of a call that ended while it was written to."""
_TOO_LARGE: Final = re.compile(
    r"(?:(CLIENT|SERVER): |grpc: )?(?:trying to )?(received|sent|send) message (?:after decompression )?larger than",
    re.IGNORECASE,
)
"""What gRPC says, with RESOURCE_EXHAUSTED, of a message over a limit of its own."""


class Details(NamedTuple):
    """What Coherd says of a failure."""

    reason: int
    field: str
    retry_after_ms: int


def error_of_status(error: grpc.aio.AioRpcError) -> CacheError:
    """The error of a failed rpc, with its cause.

    Text of a status that is not Coherd's is not taken over, and only a lost connection is shown as cause: a stranger's
    text may hold anything.
    """
    details = _details(error)
    result = _error(error, details)
    result.__cause__ = error if details is not None or error.code() is _Code.UNAVAILABLE else None
    return result


def error_of_item(error: pb.ItemError) -> CacheError:
    """The error of one item of a batch, or of what a session was asked for."""
    return errors.error_of(error.reason, error.message, field=error.field, retry_after_ms=error.retry_after_ms)


def _error(error: grpc.aio.AioRpcError, details: Details | None) -> CacheError:
    if details is None and error.code() is _Code.INTERNAL and error.details() == _WRITE_FAILED:
        row = _BY_CODE[_Code.UNAVAILABLE]
        return row.kind(row.message, retry=row.retry)
    if details is None and (found := _too_large(error)) is not None:
        return found
    if details is None:
        row = _BY_CODE.get(error.code(), _OTHER)
        deadline = error.code() is _Code.DEADLINE_EXCEEDED
        reason = ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED if deadline else ErrorReason.ERROR_REASON_UNSPECIFIED
        return row.kind(f"{row.message} (status {error.code().name})", reason=reason, retry=row.retry)
    message = error.details() or ""
    if details.reason == ErrorReason.ERROR_REASON_UNSPECIFIED:
        # A reason of a newer server: the code still says what kind it is.
        row = _BY_CODE.get(error.code(), _OTHER)
        return row.kind(message, retry=row.retry, retry_after_ms=details.retry_after_ms, field=details.field)
    return errors.error_of(details.reason, message, field=details.field, retry_after_ms=details.retry_after_ms)


def _too_large(error: grpc.aio.AioRpcError) -> CacheError | None:
    """The error of a message over a limit of gRPC's, here, in the server or on the way to it; None for any other."""
    if error.code() is not _Code.RESOURCE_EXHAUSTED:
        return None
    match = _TOO_LARGE.match(error.details() or "")
    if match is None:
        return None
    if (match[1], match[2].lower()[:4]) in (("CLIENT", "rece"), ("SERVER", "sent")):
        text = "the answer is longer than the messages that the client or the service takes"
        return errors.error_of(ErrorReason.ERROR_REASON_ANSWER_TOO_LARGE, text)
    text = "the request is longer than the messages that the service, or something on the way to it, takes"
    return errors.error_of(ErrorReason.ERROR_REASON_VALUE_TOO_LARGE, text, field="value")


def _details(error: grpc.aio.AioRpcError) -> Details | None:
    """Coherd's details in the trailing metadata; None if there are none."""
    trailing: Any = error.trailing_metadata() or ()
    packed = next((value for name, value in trailing if name == _DETAILS_KEY), None)
    if not isinstance(packed, bytes):
        return None
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    try:
        for detail in status_pb2.Status.FromString(packed).details:
            for message in (info, bad, retry):
                detail.Unpack(message)
    except DecodeError:
        return None
    if info.domain != ERROR_DOMAIN:
        return None
    field = bad.field_violations[0].field if bad.field_violations else ""
    return Details(reason_of(info.reason), field, retry.retry_delay.ToMilliseconds())
