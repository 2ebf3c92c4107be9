"""Failures as values: what a caller is told, and how store errors and refusals become that."""

from __future__ import annotations

from typing import Final, NamedTuple

from coherd.contract.reasons import Refusal
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.store import StoreUnavailable


class Failure(NamedTuple):
    """Why an item failed: a reason of `ErrorReason`, a text without keys or payloads, and the field at fault."""

    reason: int
    message: str
    field: str = ""


UNAVAILABLE: Final = Failure(
    ErrorReason.ERROR_REASON_STORE_UNAVAILABLE, "the store does not answer; nothing was changed"
)
UNKNOWN: Final = Failure(
    ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN, "the store did not answer in time; the change may or may not take effect"
)
UNCONFIRMED: Final = Failure(
    ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN,
    "the change was made, but it is not known whether every near cache has heard of it; repeat it",
)
FULL: Final = Failure(
    ErrorReason.ERROR_REASON_STORE_FULL, "the store is at its memory limit and evicts nothing; nothing was changed"
)
FOREIGN_VALUE: Final = Failure(
    ErrorReason.ERROR_REASON_FOREIGN_VALUE,
    "bytes that are not Coherd's are stored under this key; they are left untouched: to remove them, UNLINK the key in "
    "Redis, with the deployment's key_prefix in front",
)
CONTENDED: Final = Failure(
    ErrorReason.ERROR_REASON_CONTENDED, "other writes of this key kept changing it; nothing was changed"
)
OUTWAITED: Final = Failure(
    ErrorReason.ERROR_REASON_CONTENDED, "an earlier write of this key was still under way; nothing was changed"
)


def failure_of(error: StoreUnavailable) -> Failure:
    """The failure a store error is told as."""
    if error.full:
        return FULL
    failure = UNKNOWN if error.outcome_unknown else UNAVAILABLE
    if not error.cause:
        return failure
    changed = "the change may or may not take effect" if error.outcome_unknown else "nothing was changed"
    return failure._replace(message=f"the store is unavailable: {error.cause}; {changed}")


def refused(refusal: Refusal) -> Failure:
    """The failure a refused input is told as."""
    return Failure(refusal.reason, str(refusal), refusal.field)
