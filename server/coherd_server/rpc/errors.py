"""Failures as gRPC statuses with `google.rpc` details (DESIGN section 4)."""

from __future__ import annotations

from typing import Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from coherd.contract.reasons import ERROR_DOMAIN, REASONS, Refusal, reason_name
from coherd.v1 import cache_service_pb2 as pb
from coherd_server.core.failure import Failure, refused

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
