"""Requests checked as a server checks them, with its reasons, fields and words."""

from __future__ import annotations

from typing import Final

from coherd.catalog.catalog import ResolvedKey
from coherd.contract.lease import DEFAULT_LEASE_MS, GRANT_BYTES, MAX_LEASE_MS, MIN_LEASE_MS, TOKEN_BYTES
from coherd.contract.reasons import Refusal
from coherd.contract.tags import TagRef
from coherd.contract.ttl import choose_ttl_ms
from coherd.v1 import cache_service_pb2 as wire
from coherd.v1.errors_pb2 import ErrorReason

MAX_VERSION: Final = 2**63 - 1
MAX_WAIT_MS: Final = 600_000
MAX_SELECTORS: Final = 100

_INVALID: Final = ErrorReason.ERROR_REASON_REQUEST_INVALID


def check_set(key: ResolvedKey, request: wire.SetRequest, *, max_value_bytes: int, spread: float) -> int:
    """The TTL the value gets, in milliseconds."""
    if len(request.value) > max_value_bytes:
        raise Refusal(
            ErrorReason.ERROR_REASON_VALUE_TOO_LARGE,
            f"the value has {len(request.value)} bytes, the server's max_value_bytes is {max_value_bytes}",
            field="value",
        )
    if request.negative and request.value:
        raise Refusal(_INVALID, "a negative entry has no value", field="value")
    if request.HasField("version") and not 1 <= request.version <= MAX_VERSION:
        raise Refusal(ErrorReason.ERROR_REASON_VERSION_INVALID, f"version must be in 1..{MAX_VERSION}", field="version")
    requested_ms = request.ttl_ms if request.HasField("ttl_ms") else None
    return choose_ttl_ms(key.policy, requested_ms, negative=request.negative, spread=spread)


def extra_tags(key: ResolvedKey, request: wire.SetRequest | wire.LeaseRequest) -> tuple[TagRef, ...]:
    """The tags a caller adds to those of the key."""
    return key.domain.extra_tags(dict(request.extra_tags), key.tags) if request.extra_tags else ()


def check_token(token: bytes) -> None:
    """A token is as long as it must be."""
    if len(token) != TOKEN_BYTES:
        raise Refusal(_INVALID, f"a token has {TOKEN_BYTES} bytes", field="token")


def check_grant(grant: bytes) -> None:
    """A grant is as long as it must be."""
    if len(grant) != GRANT_BYTES:
        raise Refusal(_INVALID, f"a grant has {GRANT_BYTES} bytes: as LeaseGranted said it", field="grant")


def check_hold(token: bytes, lease_ms: int) -> None:
    """A lease may be held on, or given back."""
    check_token(token)
    if not 0 <= lease_ms <= MAX_LEASE_MS:
        raise Refusal(_INVALID, f"a lease lives at most {MAX_LEASE_MS} ms", field="lease_ms")


def check_lease(request: wire.LeaseRequest) -> int:
    """How long the lease is asked for, in milliseconds."""
    lease_ms = request.lease_ms or DEFAULT_LEASE_MS
    check_token(request.token)
    if not MIN_LEASE_MS <= lease_ms <= MAX_LEASE_MS:
        raise Refusal(_INVALID, f"lease_ms must be in {MIN_LEASE_MS}..{MAX_LEASE_MS}", field="lease_ms")
    if not 0 <= request.wait_ms <= MAX_WAIT_MS:
        raise Refusal(_INVALID, f"wait_ms must be in 0..{MAX_WAIT_MS}", field="wait_ms")
    return lease_ms


def check_same_extra(held: tuple[TagRef, ...], asked: tuple[TagRef, ...]) -> None:
    """A lease that is asked for again has the extra tags it was granted with."""
    if held != asked:
        raise Refusal(_INVALID, "this token holds a lease with other extra tags", field="extra_tags")


def check_fill(request: wire.FillRequest) -> None:
    """A fill brings nothing that only a set takes."""
    if request.set.only_if_absent or request.set.extra_tags:
        raise Refusal(
            _INVALID,
            "a fill takes neither only_if_absent nor extra_tags: name the tags in the lease",
            field="set",
        )


def check_selectors(request: wire.InvalidateRequest) -> None:
    """There are selectors, and not too many."""
    if not 1 <= len(request.selectors) <= MAX_SELECTORS:
        reason = ErrorReason.ERROR_REASON_SELECTOR_INVALID
        raise Refusal(reason, f"1..{MAX_SELECTORS} selectors are required", field="selectors")


def check_batch(items: int, max_batch_items: int) -> None:
    """A batch is not too long."""
    if items > max_batch_items:
        raise Refusal(
            ErrorReason.ERROR_REASON_BATCH_TOO_LARGE,
            f"{items} items, the server's limit max_batch_items is {max_batch_items}",
        )
