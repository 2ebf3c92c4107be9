"""How a call is tried: what the table of methods says of it, for the guard and the repetition."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from coherd._rpc.batch_tries import BatchTries
from coherd._rpc.methods import (
    BATCH_FILL,
    BATCH_GET,
    BATCH_LEASE,
    BATCH_SET,
    DELETE,
    GET,
    INVALIDATE,
    KeyRead,
    KeysRead,
    Method,
    Request,
    Response,
    ValueSet,
    ValuesSet,
)
from coherd._rpc.retries import Attempts

MUST_BE_TRIED: Final = frozenset((DELETE.rpc, INVALIDATE.rpc))
"""A value that was not invalidated would be served later: these are sent whatever the breaker says."""
BATCHES: Final = frozenset(method.rpc for method in (BATCH_GET, BATCH_SET, BATCH_LEASE, BATCH_FILL))


def attempts_of(
    send: Callable[[Method[Any, Any], Any, float], Awaitable[Any]],
    method: Method[Request, Response],
    request: Request,
    limit_ms: int,
    has_fallback: bool,
) -> Attempts[Response]:
    """One call, as it is tried.

    Args:
        send: one attempt at a method and a request, until a moment of `time.monotonic`.
        method: the rpc.
        request: to it.
        limit_ms: time limit.
        has_fallback: see `Transport.call`.
    """
    effect = method.effect_of(request)
    batch = BatchTries(request, effect) if method.rpc in BATCHES else None
    return Attempts(
        send=lambda deadline_s: send(method, request if batch is None else batch.request, deadline_s),
        probe=lambda deadline_s: send(GET, _read_of(request), deadline_s),
        effect=effect,
        batch=batch,
        limit_ms=limit_ms,
        has_fallback=has_fallback,
        must_be_tried=method.rpc in MUST_BE_TRIED or not (method.field or method.is_columns),
    )


def _read_of(request: Any) -> KeyRead:
    """A read of the first key of a request."""
    if isinstance(request, (KeyRead, ValueSet)):
        return KeyRead(request.key)
    if isinstance(request, (KeysRead, ValuesSet)):
        return KeyRead(request.keys[0])
    one = request.items[0] if hasattr(request, "items") else request
    return KeyRead((one.set if hasattr(one, "set") else one).key.text)
