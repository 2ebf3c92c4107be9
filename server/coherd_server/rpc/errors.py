"""How a call ends that fails: failures as gRPC statuses with `google.rpc` details (docs/use/errors.md)."""

from __future__ import annotations

from typing import Final, TypeAlias

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from coherd.contract.reasons import ERROR_DOMAIN, REASONS, Refusal, reason_name
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.failure import Failure, refused

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
"""gRPC's side of a call, as this server uses it: bytes in, bytes out."""
DETAILS_KEY: Final = "grpc-status-details-bin"
"""Trailing metadata that carries a serialized `google.rpc.Status`."""


class Failed(Exception):
    """Ends a call with a failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(reason_name(failure.reason))
        self.failure = failure


def failure_in(error: Failed | Refusal) -> Failure:
    """The failure an exception of ours stands for."""
    return error.failure if isinstance(error, Failed) else refused(error)


async def abort(context: Context, failure: Failure) -> None:
    """End a call with a failure; raises `grpc.aio.AbortError`."""
    metadata = ((DETAILS_KEY, status_details(failure)),)
    await context.abort(status_code(failure), failure.message, trailing_metadata=metadata)


def status_code(failure: Failure) -> grpc.StatusCode:
    """The canonical code of a failure's reason."""
    return grpc.StatusCode[REASONS[failure.reason].code]


def status_details(failure: Failure) -> bytes:
    """Serialized `google.rpc.Status`: ErrorInfo, BadRequest if a field is at fault, RetryInfo where a retry helps."""
    rule = REASONS[failure.reason]
    info = error_details_pb2.ErrorInfo(reason=reason_name(failure.reason), domain=ERROR_DOMAIN)
    details: list[Message] = [info]
    if failure.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=failure.field, description=failure.message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if rule.retry_after_ms:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(rule.retry_after_ms)
        details.append(retry)
    status = status_pb2.Status(code=status_code(failure).value[0], message=failure.message)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    serialized: bytes = status.SerializeToString()
    return serialized


def item_error(failure: Failure) -> pb.ItemError:
    """The failure of one item of a batch."""
    return pb.ItemError(
        reason=failure.reason,  # type: ignore[arg-type]
        message=failure.message,
        field=failure.field,
        retry_after_ms=REASONS[failure.reason].retry_after_ms,
    )


def malformed(request_type: type[Message]) -> Refusal:
    """The refusal of bytes that are no such request."""
    name = request_type.DESCRIPTOR.full_name
    return Refusal(ErrorReason.ERROR_REASON_REQUEST_MALFORMED, f"the request is not a valid {name}")


def answer_too_large(message_bytes: int) -> Failure:
    """The failure of a read whose answer fits no message of so many bytes."""
    text = f"the answer is over the server's max_message_bytes of {message_bytes}; ask for less"
    return Failure(ErrorReason.ERROR_REASON_ANSWER_TOO_LARGE, text)
