"""A status that is not Coherd's, made an error."""

from __future__ import annotations

import grpc
import pytest

from coherd._rpc.status import error_of_status
from coherd.contract.reasons import Retry
from coherd.errors import CacheError, ServerDefect, Unavailable


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
