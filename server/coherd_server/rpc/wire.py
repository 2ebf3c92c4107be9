"""Wire messages to domain values and back."""

from __future__ import annotations

from collections.abc import Callable

from coherd.catalog.catalog import Catalog
from coherd.contract.entry import Flags
from coherd.contract.lease import DEFAULT_LEASE_MS
from coherd.contract.reasons import Refusal
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.filling import Filled, FillItem
from coherd_server.core.leasing import Granted, Held, LeaseItem
from coherd_server.core.reading import Lookup
from coherd_server.core.set_item import SetDone, SetItem
from coherd_server.core.store import PutOutcome
from coherd_server.core.validity import State

HELD_RETRY_MS = 100
"""When a caller that was not let to load may ask again."""
_OUTCOMES = {
    PutOutcome.STORED: pb.SET_OUTCOME_STORED,
    PutOutcome.PRESENT: pb.SET_OUTCOME_PRESENT,
    PutOutcome.OLDER_VERSION: pb.SET_OUTCOME_OLDER_VERSION,
}
_MISSES = {
    State.ABSENT: pb.MISS_REASON_ABSENT,
    State.INVALIDATED: pb.MISS_REASON_INVALIDATED,
    State.FOREIGN: pb.MISS_REASON_FOREIGN,
    State.EXPIRED: pb.MISS_REASON_EXPIRED,
    State.STALE: pb.MISS_REASON_EXPIRED,
}


def set_item(catalog: Catalog, request: pb.SetRequest) -> SetItem:
    """The item of a set.

    Raises:
        Refusal: as `Catalog.key_of`.
    """
    return SetItem(
        catalog.key_of(request.key),
        request.value,
        request.ttl_ms if request.HasField("ttl_ms") else None,
        dict(request.extra_tags) if request.extra_tags else {},
        request.only_if_absent,
        request.version if request.HasField("version") else None,
        request.negative,
    )


def fill_hit(hit: pb.Hit, found: Lookup) -> None:
    """Write what was found into a Hit, in place: in a batch that is cheaper than a message per item."""
    validity = found.validity
    header = validity.header
    if header is None:
        raise AssertionError("a hit has a header")
    hit.value = validity.raw[header.size :]
    hit.age_ms = validity.age_ms
    hit.remaining_ttl_ms = validity.remaining_ms
    if validity.state is State.STALE:
        hit.stale = True
    flags = header.flags
    if flags:
        if flags & Flags.NEGATIVE:
            hit.negative = True
        if flags & Flags.VERSIONED:
            hit.version = header.version
        if flags & Flags.EXTRA_TAGS:
            hit.extra_tags.update(found.extra_tags)


def fill_get(result: pb.GetResponse | pb.BatchGetResult, found: Lookup, accept_stale: bool) -> bool:
    """Write what was found into an answer; whether it is a value."""
    state = found.validity.state
    if state is State.FRESH or (accept_stale and state is State.STALE):
        fill_hit(result.hit, found)
        return True
    result.miss.reason = _MISSES[found.validity.state]
    return False


def set_response(done: SetDone) -> pb.SetResponse:
    """The answer of a set."""
    return pb.SetResponse(outcome=_OUTCOMES[done.outcome], ttl_ms=done.ttl_ms)


def lease_item(catalog: Catalog, request: pb.LeaseRequest) -> LeaseItem:
    """The item of a lease.

    Raises:
        Refusal: as `Catalog.key_of`.
    """
    extra = dict(request.extra_tags) if request.extra_tags else {}
    lease_ms = request.lease_ms or DEFAULT_LEASE_MS
    return LeaseItem(catalog.key_of(request.key), request.token, lease_ms, request.wait_ms, extra, request.grant)


def lease_response(answer: Lookup | Granted | Held, keep_near: Callable[[pb.Hit, Lookup], None]) -> pb.LeaseResponse:
    """The answer of a lease; ``keep_near`` is told of a value in it."""
    response = pb.LeaseResponse()
    if isinstance(answer, Lookup):
        fill_hit(response.hit, answer)
        keep_near(response.hit, answer)
    elif isinstance(answer, Granted):
        response.granted.lease_ms = answer.lease_ms
        response.granted.grant = answer.grant
        if answer.stale is not None:
            fill_hit(response.granted.stale, answer.stale)
    else:
        response.held.retry_after_ms = HELD_RETRY_MS
        if answer.stale is not None:
            fill_hit(response.held.stale, answer.stale)
    return response


def fill_item(catalog: Catalog, request: pb.FillRequest) -> FillItem:
    """The item of a fill.

    Raises:
        Refusal: REQUEST_INVALID for what only a set takes; otherwise as `Catalog.key_of`.
    """
    if request.set.only_if_absent or request.set.extra_tags:
        raise Refusal(
            ErrorReason.ERROR_REASON_REQUEST_INVALID,
            "a fill takes neither only_if_absent nor extra_tags: name the tags in the lease",
            field="set",
        )
    return FillItem(set_item(catalog, request.set), request.token, request.grant, request.load_ms)


def fill_response(filled: Filled) -> pb.FillResponse:
    """The answer of a fill."""
    outcome = pb.FILL_OUTCOME_STORED if filled.stored else pb.FILL_OUTCOME_REJECTED
    return pb.FillResponse(outcome=outcome, ttl_ms=filled.ttl_ms)
