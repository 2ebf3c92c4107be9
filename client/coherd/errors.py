"""What can go wrong, as one tree::

    CacheError                      anything below
    ├── InvalidRequest              fails again unchanged: key, TTL, tag, value or selector is refused (a ValueError)
    │   └── Refusal                 the same, found before anything was sent: where a key or selector is made
    ├── NotPermitted                no valid credential, or the principal may not do this
    ├── NotServed                   the server does not know this operation
    ├── ForeignValue                somebody else's bytes are stored under the key; they were left untouched
    ├── Unavailable                 cannot be done now, and nothing was changed
    │   ├── Overloaded              the server has as many calls in flight as it allows
    │   ├── StoreFull               Redis is at maxmemory and evicts nothing
    │   └── Contended               the write lost against other writes of the key several times in a row
    ├── OutcomeUnknown              the change may or may not have taken effect, or may still
    ├── DeadlineExceeded            no answer in time; a change may or may not have taken effect (a TimeoutError)
    ├── ServerDefect                a defect of the server, or an answer that is not Coherd's
    ├── UndecodableValue            the stored bytes are not a value of the key's type (a ValueDecodeError)
    ├── LoadTimeout                 a loader, or somebody else's, took too long (a TimeoutError)
    ├── LoadCancelled               a loader cancelled itself
    ├── LoadCircle                  a loader asked for what waits for it
    ├── NoLoaderThread              a plain loader got no thread of the client's
    ├── ClientClosed                the client was closed
    └── BatchError                  some items of a batch failed; carries the others' results

A class follows from the reason and the status code, never from message text. No message holds a key or a payload.
The first three stand in `coherd.contract.reasons`, since both sides refuse alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from coherd.codec import ValueDecodeError
from coherd.contract.reasons import REASONS, Retry
from coherd.contract.reasons import CacheError as CacheError
from coherd.contract.reasons import InvalidRequest as InvalidRequest
from coherd.v1.errors_pb2 import ErrorReason


class NotPermitted(CacheError):
    """No valid credential where one is required, or the principal may not do this in this domain."""


class NotServed(CacheError):
    """The server does not serve this operation: an older version, or not a Coherd server."""


class ForeignValue(CacheError):
    """Somebody else's bytes are stored under the key; they were left untouched."""


class Unavailable(CacheError):
    """The service or its store cannot be used now. Nothing was changed."""


class Overloaded(Unavailable):
    """The server, or something on the way, refused the call for its load or size."""


class StoreFull(Unavailable):
    """Redis is at maxmemory and evicts nothing."""


class Contended(Unavailable):
    """The write lost against other writes of the same key several times in a row."""


class OutcomeUnknown(CacheError):
    """The change may or may not have taken effect, or may still. Deletes and invalidations are safe to repeat."""


class DeadlineExceeded(CacheError, TimeoutError):
    """No answer within the call's time limit. A change may or may not have taken effect, or may still."""


class ServerDefect(CacheError):
    """A defect of the server, or an answer that is not Coherd's. Whether a change took effect is not known."""


class UndecodableValue(CacheError, ValueDecodeError):
    """The stored bytes are not a value of the key's type. Reads raise it: somebody wrote them by mistake. For verbs
    that load it is a miss, unless `LoadPolicy.on_undecodable` says otherwise."""


class LoadTimeout(CacheError, TimeoutError):
    """A loader took longer than ``load_timeout_ms`` and was cancelled, or somebody else's was waited for that long."""


class LoadCancelled(CacheError):
    """A loader ended in a cancellation that nobody outside asked for; raised as an error, since its callers were not
    cancelled."""


class LoadCircle(CacheError):
    """A loader asked for its own key, or for one whose load waits for its own. The message names their resources. The
    loads themselves go on."""


class NoLoaderThread(CacheError):
    """A plain loader got no thread in time: `LoadLimits.max_loader_threads` loaders run, perhaps such as hang."""


class ClientClosed(CacheError):
    """The client was closed before or during the call. A change in flight may or may not have taken effect."""


STRICTNESS: Final = (Retry.SAFE, Retry.IDEMPOTENT, Retry.NEVER)
"""Of several failures the last one here is that of all."""


class BatchError(CacheError):
    """Some items of a batch failed; the others were done.

    ``reason`` is that of the first. ``retry`` holds for the whole call: never if that is the class of one item that
    failed, safe if it is that of all, else idempotent. ``retry_after_ms`` is the longest advised wait.
    """

    results: Mapping[Any, Any]
    """What the call would have returned for the other keys."""
    errors: Mapping[Any, CacheError]
    """Why each failed key failed; at least one."""

    def __init__(self, results: Mapping[Any, Any], errors: Mapping[Any, CacheError]) -> None:
        first = next(iter(errors.values()))
        super().__init__(
            f"{len(errors)} items of the batch failed, the first with: {first}",
            reason=first.reason,
            retry=max((error.retry for error in errors.values()), key=STRICTNESS.index),
            retry_after_ms=max(error.retry_after_ms for error in errors.values()),
        )
        self.results = results
        self.errors = errors

    def __reduce__(self) -> tuple[Any, ...]:
        return (BatchError, (self.results, self.errors))


BY_REASON: Final[dict[int, type[CacheError]]] = {
    ErrorReason.ERROR_REASON_KEY_INVALID: InvalidRequest,
    ErrorReason.ERROR_REASON_DOMAIN_UNKNOWN: InvalidRequest,
    ErrorReason.ERROR_REASON_RESOURCE_UNKNOWN: InvalidRequest,
    ErrorReason.ERROR_REASON_IDENTIFIER_INVALID: InvalidRequest,
    ErrorReason.ERROR_REASON_TTL_INVALID: InvalidRequest,
    ErrorReason.ERROR_REASON_TAG_INVALID: InvalidRequest,
    ErrorReason.ERROR_REASON_VALUE_TOO_LARGE: InvalidRequest,
    ErrorReason.ERROR_REASON_SELECTOR_INVALID: InvalidRequest,
    ErrorReason.ERROR_REASON_REQUEST_INVALID: InvalidRequest,
    ErrorReason.ERROR_REASON_REQUEST_MALFORMED: InvalidRequest,
    ErrorReason.ERROR_REASON_BATCH_TOO_LARGE: InvalidRequest,
    ErrorReason.ERROR_REASON_VERSION_INVALID: InvalidRequest,
    # Answered by the typed read methods only, which this client does not call.
    ErrorReason.ERROR_REASON_NOT_CACHED: ServerDefect,
    ErrorReason.ERROR_REASON_FOREIGN_VALUE: ForeignValue,
    ErrorReason.ERROR_REASON_STORE_UNAVAILABLE: Unavailable,
    ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN: OutcomeUnknown,
    ErrorReason.ERROR_REASON_STORE_FULL: StoreFull,
    ErrorReason.ERROR_REASON_ANSWER_TOO_LARGE: InvalidRequest,
    ErrorReason.ERROR_REASON_OVERLOADED: Overloaded,
    ErrorReason.ERROR_REASON_DRAINING: Unavailable,
    ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED: DeadlineExceeded,
    ErrorReason.ERROR_REASON_UNAUTHENTICATED: NotPermitted,
    ErrorReason.ERROR_REASON_PERMISSION_DENIED: NotPermitted,
    ErrorReason.ERROR_REASON_NOT_SERVED_YET: NotServed,
    ErrorReason.ERROR_REASON_CONTENDED: Contended,
    ErrorReason.ERROR_REASON_INTERNAL: ServerDefect,
}
"""Every reason but UNSPECIFIED; a test holds the table against the enum."""


def error_of(reason: int, message: str, *, field: str = "", retry_after_ms: int = 0) -> CacheError:
    """The error of a reason that the service gave for a call or for one item of a batch."""
    kind = BY_REASON.get(reason, ServerDefect)
    rule = REASONS.get(reason)
    retry = Retry.NEVER if rule is None else rule.retry
    return kind(message, reason=reason, retry=retry, retry_after_ms=retry_after_ms, field=field)
