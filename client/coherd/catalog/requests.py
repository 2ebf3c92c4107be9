"""Requests of the service as values, and the checks of these: one text for the server and for the fake cache. Pure.

A request is taken apart first, which looks up its key, and checked later: in between, a server asks whether the caller
may use that key's domain.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, NamedTuple

from coherd.catalog.catalog import Catalog, ResolvedKey
from coherd.contract.limits import (
    DEFAULT_LEASE_MS,
    GRANT_BYTES,
    MAX_CALLERS,
    MAX_LEASE_MS,
    MAX_SELECTORS,
    MAX_VERSION,
    MAX_WAIT_MS,
    MIN_LEASE_MS,
    TOKEN_BYTES,
)
from coherd.contract.reasons import Refusal
from coherd.contract.tags import TagRef
from coherd.contract.ttl import choose_ttl_ms
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1.errors_pb2 import ErrorReason

_INVALID: Final = ErrorReason.ERROR_REASON_REQUEST_INVALID


class SetItem(NamedTuple):
    """One value to store. Bounds as in `coherd.v1.SetRequest`."""

    key: ResolvedKey
    payload: bytes
    ttl_ms: int | None = None
    extra_tags: Mapping[str, str] = {}
    only_if_absent: bool = False
    version: int | None = None
    negative: bool = False


class LeaseItem(NamedTuple):
    """Asks for a value or the right to load it. Bounds as in `coherd.v1.LeaseRequest`."""

    key: ResolvedKey
    token: bytes
    lease_ms: int
    wait_ms: int = 0
    extra_tags: Mapping[str, str] = {}
    grant: bytes = b""
    """Of a renewal: the grant to renew."""
    callers: int = 1
    """Who share the request."""
    counted: int = 0
    """Those of them that an earlier answer has counted."""


class LeaseOutcome(enum.Enum):
    """What those who asked for a lease got."""

    HIT = "hits"
    STALE = "stale_hits"
    """The lease, or that somebody else has it, and a stale value to serve meanwhile."""
    MISS = "misses"
    """The lease, or that somebody else has it."""
    JOINED = "joined"
    """A renewal: the load that runs under the lease is theirs too."""


class FillItem(NamedTuple):
    """A loaded value, and the lease it was loaded under."""

    item: SetItem
    token: bytes
    grant: bytes
    load_ms: int = 0


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


def lease_item(catalog: Catalog, request: pb.LeaseRequest) -> LeaseItem:
    """The item of a lease.

    Raises:
        Refusal: as `Catalog.key_of`.
    """
    extra = dict(request.extra_tags) if request.extra_tags else {}
    lease_ms = request.lease_ms or DEFAULT_LEASE_MS
    callers = request.callers if request.HasField("callers") else int(not request.renew)
    key = catalog.key_of(request.key)
    return LeaseItem(key, request.token, lease_ms, request.wait_ms, extra, request.grant, callers, request.counted)


def fill_item(catalog: Catalog, request: pb.FillRequest) -> FillItem:
    """The item of a fill.

    Raises:
        Refusal: REQUEST_INVALID for what only a set takes; otherwise as `Catalog.key_of`.
    """
    if request.set.only_if_absent or request.set.extra_tags:
        raise Refusal(
            _INVALID, "a fill takes neither only_if_absent nor extra_tags: name the tags in the lease", field="set"
        )
    return FillItem(set_item(catalog, request.set), request.token, request.grant, request.load_ms)


def check_set(item: SetItem, max_value_bytes: int, spread: float) -> int:
    """The TTL a value gets, in milliseconds.

    Args:
        item: what is to be stored.
        max_value_bytes: longest payload accepted.
        spread: random number in ``[0, 1)`` that picks the jitter.

    Raises:
        Refusal: VALUE_TOO_LARGE, REQUEST_INVALID, VERSION_INVALID or TTL_INVALID.
    """
    if len(item.payload) > max_value_bytes:
        raise Refusal(
            ErrorReason.ERROR_REASON_VALUE_TOO_LARGE,
            f"the value has {len(item.payload)} bytes, the server's max_value_bytes is {max_value_bytes}",
            field="value",
        )
    if item.negative and item.payload:
        raise Refusal(_INVALID, "a negative entry has no value", field="value")
    if item.version is not None and not 1 <= item.version <= MAX_VERSION:
        raise Refusal(ErrorReason.ERROR_REASON_VERSION_INVALID, f"version must be in 1..{MAX_VERSION}", field="version")
    return choose_ttl_ms(item.key.policy, item.ttl_ms, negative=item.negative, spread=spread)


def extra_tags_of(item: SetItem | LeaseItem) -> tuple[TagRef, ...]:
    """The tags a caller adds to those of the key.

    Raises:
        Refusal: as `DomainSpec.extra_tags`.
    """
    return item.key.domain.extra_tags(item.extra_tags, item.key.tags) if item.extra_tags else ()


def check_lease(item: LeaseItem) -> None:
    """Refuse a lease that is out of its bounds.

    Raises:
        Refusal: REQUEST_INVALID.
    """
    _check_token(item.token)
    if not MIN_LEASE_MS <= item.lease_ms <= MAX_LEASE_MS:
        raise Refusal(_INVALID, f"lease_ms must be in {MIN_LEASE_MS}..{MAX_LEASE_MS}", field="lease_ms")
    if not 0 <= item.wait_ms <= MAX_WAIT_MS:
        raise Refusal(_INVALID, f"wait_ms must be in 0..{MAX_WAIT_MS}", field="wait_ms")
    if item.callers > MAX_CALLERS:
        raise Refusal(_INVALID, f"callers must be in 0..{MAX_CALLERS}", field="callers")
    if item.counted > item.callers:
        raise Refusal(_INVALID, "counted must be in 0..callers", field="counted")


def lease_counts(item: LeaseItem, outcome: LeaseOutcome, *, waited: bool) -> Mapping[str, int]:
    """What an answer adds to `coherd.v1.DomainMetrics`, by field, nothing of it 0.

    Each caller is one hit, one stale hit or one miss, however often it asks; a wait for somebody else's load is one
    miss.

    Args:
        item: what was asked.
        outcome: what its callers got.
        waited: the request was held for it.
    """
    new, avoided, field = item.callers - item.counted, 0, outcome.value
    if outcome is LeaseOutcome.JOINED or (outcome is LeaseOutcome.HIT and waited):
        avoided, field = item.callers, LeaseOutcome.MISS.value
    elif outcome is LeaseOutcome.HIT:
        avoided = item.counted
    return {name: by for name, by in ((field, new), ("loads_avoided", avoided)) if by}


def check_same_extra(held: tuple[TagRef, ...], asked: tuple[TagRef, ...]) -> None:
    """Refuse to grant a lease again to its token with other extra tags.

    Raises:
        Refusal: REQUEST_INVALID.
    """
    if held != asked:
        raise Refusal(_INVALID, "this token holds a lease with other extra tags", field="extra_tags")


def check_grant(grant: bytes) -> None:
    """Refuse a grant of another length than every grant has.

    Raises:
        Refusal: REQUEST_INVALID.
    """
    if len(grant) != GRANT_BYTES:
        raise Refusal(_INVALID, f"a grant has {GRANT_BYTES} bytes: as LeaseGranted said it", field="grant")


def check_release(token: bytes, cooldown_ms: int) -> None:
    """Refuse to let a lease go on for ``cooldown_ms``, where that, or the token, is out of bounds.

    Raises:
        Refusal: REQUEST_INVALID.
    """
    _check_token(token)
    if not 0 <= cooldown_ms <= MAX_LEASE_MS:
        raise Refusal(_INVALID, f"a lease lives at most {MAX_LEASE_MS} ms", field="lease_ms")


def check_batch(items: int, max_batch_items: int) -> None:
    """Refuse a batch that is too long.

    Raises:
        Refusal: BATCH_TOO_LARGE.
    """
    if items > max_batch_items:
        raise Refusal(
            ErrorReason.ERROR_REASON_BATCH_TOO_LARGE,
            f"{items} items, the server's limit max_batch_items is {max_batch_items}",
        )


def check_batch_lease(request: pb.BatchLeaseRequest, max_batch_items: int) -> None:
    """Refuse a batch of leases that is too long, or waits.

    Raises:
        Refusal: BATCH_TOO_LARGE or REQUEST_INVALID.
    """
    check_batch(len(request.items), max_batch_items)
    if any(item.wait_ms for item in request.items):
        raise Refusal(_INVALID, "a batch of leases does not wait", field="wait_ms")


def check_selectors(request: pb.InvalidateRequest) -> None:
    """Refuse an invalidation of nothing, or of too much at one time.

    Raises:
        Refusal: SELECTOR_INVALID.
    """
    if not 1 <= len(request.selectors) <= MAX_SELECTORS:
        reason = ErrorReason.ERROR_REASON_SELECTOR_INVALID
        raise Refusal(reason, f"1..{MAX_SELECTORS} selectors are required", field="selectors")


def _check_token(token: bytes) -> None:
    if len(token) != TOKEN_BYTES:
        raise Refusal(_INVALID, f"a token has {TOKEN_BYTES} bytes", field="token")
