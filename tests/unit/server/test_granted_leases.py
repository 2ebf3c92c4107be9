"""Leases that a process remembers to have granted."""

from __future__ import annotations

import pytest

from coherd_server.core import granted_leases as module
from coherd_server.core.granted_leases import GrantedLease, GrantedLeases
from coherd_server.core.lease_bytes import Lease


def lease(number: int) -> Lease:
    return Lease(bytes([number]) * 16, bytes([number]) * 8, 1, b"block")


def test_a_lease_is_taken_once_by_key_token_and_grant() -> None:
    granted = GrantedLeases()
    one = lease(1)
    granted.note("key", one, b"raw", 1_000)
    assert granted.take("other", one.token, one.grant) is None
    assert granted.take("key", one.token, lease(2).grant) is None
    assert granted.take("key", lease(2).token, one.grant) is None
    assert granted.take("key", one.token, one.grant) == GrantedLease(one, b"raw")
    assert granted.take("key", one.token, one.grant) is None


def test_what_is_over_is_dropped_and_the_rest_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_GRANTS", 3)
    now_s = 0.0
    granted = GrantedLeases(lambda: now_s)
    granted.note("short", lease(1), b"", 1_000)
    granted.note("long", lease(2), b"", 9_000)
    now_s = 2.0
    granted.note("new", lease(3), b"", 9_000)
    assert len(granted) == 2
    assert granted.take("short", lease(1).token, lease(1).grant) is None
    for number in range(4, 7):
        granted.note("more", lease(number), b"", 9_000)
    assert len(granted) == 3
    assert granted.take("long", lease(2).token, lease(2).grant) is None
    assert granted.take("more", lease(6).token, lease(6).grant) is not None
