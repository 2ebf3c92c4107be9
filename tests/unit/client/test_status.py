"""A status that is not Coherd's, made an error."""

from __future__ import annotations

import grpc
import pytest

from coherd._rpc.status import error_of_status
from coherd.contract.reasons import Retry, reason_name
from coherd.errors import CacheError, InvalidRequest, Overloaded, ServerDefect, Unavailable


def status(code: grpc.StatusCode, details: str) -> CacheError:
    """The error of a status without Coherd's details."""
    return error_of_status(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details))


def test_a_write_that_failed_in_grpc_is_a_lost_connection() -> None:
    error = status(grpc.StatusCode.INTERNAL, "Internal error from Core")
    assert (type(error), error.retry) == (Unavailable, Retry.IDEMPOTENT)
    assert str(error).startswith("no connection to the service, or it was lost")


@pytest.mark.parametrize("details", ["", "Internal error from Core, s3cret", "s3cret"])
def test_any_other_internal_is_a_defect_and_its_text_is_not_taken_over(details: str) -> None:
    error = status(grpc.StatusCode.INTERNAL, details)
    assert (type(error), error.retry) == (ServerDefect, Retry.NEVER)
    assert "s3cret" not in str(error)


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ("SERVER: Received message larger than max (16777260 vs. 16777216)", "VALUE_TOO_LARGE"),
        ("Received message larger than max (16777260 vs. 16777216)", "VALUE_TOO_LARGE"),
        ("CLIENT: Sent message larger than max (9 vs. 4)", "VALUE_TOO_LARGE"),
        ("grpc: received message larger than max (5000000 vs. 4194304)", "VALUE_TOO_LARGE"),
        ("grpc: received message after decompression larger than max (9 vs. 4)", "VALUE_TOO_LARGE"),
        ("CLIENT: Received message larger than max (9 vs. 4)", "ANSWER_TOO_LARGE"),
        ("SERVER: Sent message larger than max (9 vs. 4)", "ANSWER_TOO_LARGE"),
    ],
)
def test_a_message_over_a_limit_of_grpc_is_refused_as_such(details: str, reason: str) -> None:
    """Not as an outage: ``on_unavailable="miss"`` would drop it in silence."""
    error = status(grpc.StatusCode.RESOURCE_EXHAUSTED, details)
    assert (type(error), reason_name(error.reason), error.retry) == (InvalidRequest, reason, Retry.NEVER)


@pytest.mark.parametrize("details", ["", "rate limited", "too many calls: a message larger than max came in"])
def test_any_other_limit_is_an_overload(details: str) -> None:
    assert type(status(grpc.StatusCode.RESOURCE_EXHAUSTED, details)) is Overloaded
