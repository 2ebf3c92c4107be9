"""The reason table: each failure has one reason, one status code and one retry class, the same on both sides."""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from coherd.v1.errors_pb2 import ErrorReason

ERROR_DOMAIN: Final = "coherd"
"""`google.rpc.ErrorInfo.domain` of every error of ours."""

_PREFIX: Final = "ERROR_REASON_"


class Retry(enum.Enum):
    """What a client may do with a failed call."""

    NEVER = "never"
    """The same call fails again."""
    SAFE = "safe"
    """Nothing was changed: any call may be repeated after the advised wait."""
    IDEMPOTENT = "idempotent"
    """It may have taken effect: only calls whose rpc declares idempotency may be repeated."""


class Rule(NamedTuple):
    """One row of the table."""

    code: str
    """Name of the canonical gRPC status code."""
    retry: Retry
    retry_after_ms: int = 0
    """Advised wait before a retry; 0 where no retry helps."""


_INVALID: Final = Rule("INVALID_ARGUMENT", Retry.NEVER)

REASONS: Final[dict[int, Rule]] = {
    ErrorReason.ERROR_REASON_KEY_INVALID: _INVALID,
    ErrorReason.ERROR_REASON_DOMAIN_UNKNOWN: _INVALID,
    ErrorReason.ERROR_REASON_RESOURCE_UNKNOWN: _INVALID,
    ErrorReason.ERROR_REASON_IDENTIFIER_INVALID: _INVALID,
    ErrorReason.ERROR_REASON_TTL_INVALID: _INVALID,
    ErrorReason.ERROR_REASON_TAG_INVALID: _INVALID,
    ErrorReason.ERROR_REASON_VALUE_TOO_LARGE: _INVALID,
    ErrorReason.ERROR_REASON_SELECTOR_INVALID: _INVALID,
    ErrorReason.ERROR_REASON_REQUEST_INVALID: _INVALID,
    ErrorReason.ERROR_REASON_REQUEST_MALFORMED: _INVALID,
    ErrorReason.ERROR_REASON_BATCH_TOO_LARGE: _INVALID,
    ErrorReason.ERROR_REASON_VERSION_INVALID: _INVALID,
    ErrorReason.ERROR_REASON_NOT_CACHED: Rule("NOT_FOUND", Retry.NEVER),
    ErrorReason.ERROR_REASON_FOREIGN_VALUE: Rule("FAILED_PRECONDITION", Retry.NEVER),
    ErrorReason.ERROR_REASON_STORE_UNAVAILABLE: Rule("UNAVAILABLE", Retry.SAFE, 200),
    ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN: Rule("UNKNOWN", Retry.IDEMPOTENT),
    ErrorReason.ERROR_REASON_STORE_FULL: Rule("RESOURCE_EXHAUSTED", Retry.SAFE, 1_000),
    ErrorReason.ERROR_REASON_ANSWER_TOO_LARGE: _INVALID,
    ErrorReason.ERROR_REASON_OVERLOADED: Rule("RESOURCE_EXHAUSTED", Retry.SAFE, 100),
    ErrorReason.ERROR_REASON_DRAINING: Rule("UNAVAILABLE", Retry.SAFE, 50),
    ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED: Rule("DEADLINE_EXCEEDED", Retry.IDEMPOTENT),
    ErrorReason.ERROR_REASON_UNAUTHENTICATED: Rule("UNAUTHENTICATED", Retry.NEVER),
    ErrorReason.ERROR_REASON_PERMISSION_DENIED: Rule("PERMISSION_DENIED", Retry.NEVER),
    ErrorReason.ERROR_REASON_NOT_SERVED_YET: Rule("UNIMPLEMENTED", Retry.NEVER),
    ErrorReason.ERROR_REASON_CONTENDED: Rule("ABORTED", Retry.SAFE, 20),
    ErrorReason.ERROR_REASON_INTERNAL: Rule("INTERNAL", Retry.NEVER),
}
"""Every reason but UNSPECIFIED; a test holds the table against the enum."""


def reason_name(reason: int) -> str:
    """The name that travels in ErrorInfo: ``KEY_INVALID``."""
    return ErrorReason.Name(reason).removeprefix(_PREFIX)


def reason_of(name: str) -> int:
    """The reason of a name in ErrorInfo; UNSPECIFIED for one this version does not know."""
    try:
        return ErrorReason.Value(_PREFIX + name)
    except ValueError:
        return ErrorReason.ERROR_REASON_UNSPECIFIED


class CacheError(Exception):
    """Base of all errors of the client."""

    reason: int
    """A value of `coherd.v1.ErrorReason`; ERROR_REASON_UNSPECIFIED where the service gave none (proxy, connection)."""
    retry: Retry
    """What may be repeated. The client has already repeated what it could within the deadline."""
    retry_after_ms: int
    """Advised wait before a retry; 0 where none is advised."""
    field: str
    """Path of the offending field of the request, or an empty string."""

    def __init__(
        self,
        message: str = "",
        *,
        reason: int = ErrorReason.ERROR_REASON_UNSPECIFIED,
        retry: Retry = Retry.NEVER,
        retry_after_ms: int = 0,
        field: str = "",
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry = retry
        self.retry_after_ms = retry_after_ms
        self.field = field

    @property
    def reason_name(self) -> str:
        """`reason` as docs/use/errors.md lists it (``TTL_INVALID``); its number where this version knows no name."""
        if self.reason not in ErrorReason.values():
            return str(self.reason)
        return reason_name(self.reason)


class InvalidRequest(CacheError, ValueError):
    """The request is refused and fails again unchanged; `field` names what is wrong where one field is."""


class Refusal(InvalidRequest):
    """An input the contract refuses, found before anything is sent. The text names fields and limits, never a key or a
    value."""

    def __init__(self, reason: int, message: str, *, field: str = "") -> None:
        super().__init__(message, reason=reason, field=field)

    def __reduce__(self) -> tuple[object, ...]:
        return (_refusal, (type(self), self.reason, str(self), self.field))


def _refusal(kind: type[Refusal], reason: int, message: str, field: str) -> Refusal:
    return kind(reason, message, field=field)
