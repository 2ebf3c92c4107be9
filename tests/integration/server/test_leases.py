"""Leases over the wire, on every kind of store: one load, dead fills, waiters, stale values [one-load]."""

from __future__ import annotations

import os
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any

import pytest

from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import keys_pb2
from rig.calls import Caller, Problem, reason_in, text_key
from rig.stand import Stand


def lease(caller: Caller, key: str, token: bytes | None = None, **fields: Any) -> pb.LeaseResponse:
    """Ask for a lease; the answer."""
    request = pb.LeaseRequest(key=text_key(key), token=token or os.urandom(16), **fields)
    answer: pb.LeaseResponse = caller.call("Lease", request)
    return answer


def granted(caller: Caller, key: str, token: bytes, **fields: Any) -> bytes:
    """Ask for a lease that is there to be had; the grant."""
    answer = lease(caller, key, token, **fields)
    assert kind(answer) == "granted"
    return answer.granted.grant


def renew(caller: Caller, key: str, token: bytes, grant: bytes, **fields: Any) -> str | None:
    """Renew a lease; the kind of the answer."""
    return kind(lease(caller, key, token, renew=True, grant=grant, **fields))


def fill(caller: Caller, key: str, token: bytes, grant: bytes, value: bytes = b"loaded", **fields: Any) -> str:
    """Fill; name of the outcome."""
    request = pb.FillRequest(set=pb.SetRequest(key=text_key(key), value=value, **fields), token=token, grant=grant)
    return pb.FillOutcome.Name(caller.call("Fill", request).outcome).removeprefix("FILL_OUTCOME_")


def release(caller: Caller, key: str, token: bytes, cooldown_ms: int = 0) -> str:
    """Give a lease back; name of the outcome."""
    request = pb.FillRequest(set=pb.SetRequest(key=text_key(key)), token=token, abandon=True, cooldown_ms=cooldown_ms)
    return pb.FillOutcome.Name(caller.call("Fill", request).outcome).removeprefix("FILL_OUTCOME_")


def user(name: str) -> keys_pb2.Selector:
    """Everything of a user."""
    return keys_pb2.Selector(named=keys_pb2.NamedInvalidation(name="user", value=name))


def kind(answer: pb.LeaseResponse) -> str | None:
    return answer.WhichOneof("result")


@pytest.fixture
def key(name: str) -> str:
    return f"analytics:daily:user:{name}:date:20250806"


def test_one_caller_loads_and_the_others_get_its_value(stand: Stand, key: str) -> None:
    caller, token = stand.caller, os.urandom(16)
    grant = granted(caller, key, token)
    assert granted(caller, key, token) == grant, "a repeated request finds its own lease"
    assert kind(lease(caller, key)) == "held"
    assert fill(caller, key, token, grant, b"v1") == "STORED"
    assert lease(caller, key).hit.value == b"v1"
    assert caller.value(key) == b"v1"
    assert fill(caller, key, token, grant, b"v2") == "REJECTED", "the first fill ended the lease"


@pytest.mark.parametrize("change", ["tag", "domain", "delete", "set"])
def test_a_fill_never_survives_a_change(stand: Stand, key: str, name: str, change: str) -> None:
    """P1: loaded before the change, filled after it."""
    caller, token = stand.caller, os.urandom(16)
    grant = granted(caller, key, token)
    match change:
        case "tag":
            caller.invalidate(user(name))
        case "domain":
            caller.invalidate(keys_pb2.Selector(domain=keys_pb2.DomainSelector(domain="analytics")))
        case "delete":
            caller.delete(key)
        case "set":
            caller.set(key, b"newer")
    assert fill(caller, key, token, grant, b"old") == "REJECTED"
    assert caller.value(key) == (b"newer" if change == "set" else None)


def test_a_lease_that_was_invalidated_is_taken_over_at_once(stand: Stand, key: str, name: str) -> None:
    caller, old, new = stand.caller, os.urandom(16), os.urandom(16)
    overtaken = granted(caller, key, old, lease_ms=600_000)
    caller.invalidate(user(name))
    grant = granted(caller, key, new)
    assert fill(caller, key, old, overtaken, b"old") == "REJECTED"
    assert fill(caller, key, new, grant, b"new") == "STORED"
    assert caller.value(key) == b"new"


def test_a_token_takes_over_no_lease_of_its_own(stand: Stand, key: str, name: str) -> None:
    """A late copy of the request, behind an invalidation, would keep from others what nobody uses."""
    caller, token, new = stand.caller, os.urandom(16), os.urandom(16)
    old = granted(caller, key, token)
    caller.invalidate(user(name))
    assert kind(lease(caller, key, token)) == "held"
    assert renew(caller, key, token, old) == "held"
    assert fill(caller, key, token, old, b"from before") == "REJECTED"
    assert caller.value(key) is None
    grant = granted(caller, key, new)
    assert kind(lease(caller, key, token)) == "held"
    assert fill(caller, key, token, old, b"from before") == "REJECTED"
    assert fill(caller, key, new, grant, b"new") == "STORED"
    assert caller.value(key) == b"new"


@pytest.mark.parametrize("end", ["delete", "set", "fill", "expire"])
def test_a_late_copy_of_a_lease_revives_no_load(stand: Stand, key: str, end: str) -> None:
    """P1: once the lease is gone, a copy of its request (a proxy that repeats) is granted anew, with stamps of now. The
    load of the first grant, still running under that token, must not be stored with them."""
    caller, token = stand.caller, os.urandom(16)
    old = granted(caller, key, token, lease_ms=300 if end == "expire" else 60_000)
    match end:
        case "set":
            caller.set(key, b"newer")
        case "fill":
            assert fill(caller, key, token, old, b"newer") == "STORED"
        case "expire":
            time.sleep(0.5)
    caller.delete(key)
    new = granted(caller, key, token)
    assert new != old
    assert renew(caller, key, token, old) == "held"
    assert fill(caller, key, token, old, b"from before") == "REJECTED"
    assert caller.value(key) is None
    assert renew(caller, key, token, new) == "granted", "who was answered by the copy loads with it"
    assert fill(caller, key, token, new, b"from after") == "STORED"
    assert caller.value(key) == b"from after"


def test_who_was_not_answered_gives_back_by_token_alone(stand: Stand, key: str) -> None:
    caller, token = stand.caller, os.urandom(16)
    granted(caller, key, token)
    assert release(caller, key, token) == "ABANDONED"
    granted(caller, key, os.urandom(16))


def test_extra_tags_are_named_in_the_lease(stand: Stand, name: str) -> None:
    """Their epochs are from before the load [tags-with-the-lease]."""
    caller, key, token = stand.caller, f"session:data:id:{name}", os.urandom(16)
    grant = granted(caller, key, token, extra_tags={"user": name})
    assert fill(caller, key, token, grant) == "STORED"
    assert dict(caller.get(key).hit.extra_tags) == {"user": name}
    caller.invalidate(user(name))
    assert caller.miss(key) == "INVALIDATED"
    grant = granted(caller, key, token, extra_tags={"user": name})
    caller.invalidate(user(name))
    assert fill(caller, key, token, grant) == "REJECTED"


def test_waiters_are_woken_by_the_fill(stand: Stand, key: str) -> None:
    caller, token = stand.caller, os.urandom(16)
    grant = granted(caller, key, token)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(lease, caller, key, wait_ms=20_000) for _ in range(8)]
        time.sleep(0.3)
        assert not any(future.done() for future in waiting)
        assert fill(caller, key, token, grant, b"v") == "STORED"
        answers = [future.result(60) for future in waiting]
    assert [answer.hit.value for answer in answers] == [b"v"] * 8


@pytest.mark.parametrize("end", ["release", "invalidate", "expire"])
def test_exactly_one_waiter_takes_over(stand: Stand, key: str, name: str, end: str) -> None:
    """P5: also when the holder dies and nothing but the lease's expiry tells [timer-behind-wakes]."""
    caller, token = stand.caller, os.urandom(16)
    assert kind(lease(caller, key, token, lease_ms=1_000 if end == "expire" else 60_000)) == "granted"
    with ThreadPoolExecutor(3) as pool:
        tokens = [os.urandom(16) for _ in range(3)]
        waiting = {pool.submit(lease, caller, key, token, wait_ms=60_000, lease_ms=60_000): token for token in tokens}
        if end == "release":
            assert release(caller, key, token) == "ABANDONED"
        elif end == "invalidate":
            caller.invalidate(user(name))
        takers, others = wait(waiting, timeout=60, return_when=FIRST_COMPLETED)
        assert [kind(taker.result()) for taker in takers] == ["granted"]
        assert not wait(others, timeout=0.7).done, "they look again meanwhile, and somebody loads"
        assert [fill(caller, key, waiting[t], t.result().granted.grant, b"v") for t in takers] == ["STORED"]
        assert [future.result(60).hit.value for future in others] == [b"v", b"v"]


def test_a_lease_lives_as_long_as_it_is_renewed(single: Stand, key: str) -> None:
    caller, token = single.caller, os.urandom(16)
    began_s = time.monotonic()
    grant = granted(caller, key, token, lease_ms=2_000)
    for _ in range(3):
        assert renew(caller, key, token, grant, lease_ms=60_000) == "granted"
        assert kind(lease(caller, key)) == "held"
    time.sleep(max(0.0, began_s + 2.1 - time.monotonic()))  # without a renewal it would be over
    assert renew(caller, key, token, grant, lease_ms=60_000) == "granted"
    assert kind(lease(caller, key)) == "held"
    assert renew(caller, key, os.urandom(16), grant) == "held", "another token renews nothing"
    assert renew(caller, key, token, os.urandom(8)) == "held", "another grant neither"
    assert fill(caller, key, token, grant) == "STORED"
    assert renew(caller, key, token, grant) == "held", "nothing is left to renew"


def test_a_stale_value_is_served_while_one_refreshes(single: Stand, key: str) -> None:
    caller, token = single.caller, os.urandom(16)
    caller.set(key, b"old", ttl_ms=50)
    time.sleep(0.1)
    answer = lease(caller, key, token)
    assert answer.granted.stale.value == b"old"
    assert answer.granted.stale.stale
    held = lease(caller, key, wait_ms=10_000)
    assert held.held.stale.value == b"old", "nobody waits who can be served"
    assert release(caller, key, token, cooldown_ms=60_000) == "ABANDONED"
    assert lease(caller, key).held.stale.value == b"old", "the next load is not tried at once"
    caller.delete(key)
    assert kind(lease(caller, key)) == "granted", "a delete ends the cool-down too"


def test_a_stale_value_that_was_invalidated_is_not_served(single: Stand, key: str, name: str) -> None:
    """[stale-needs-current-epochs]"""
    caller = single.caller
    caller.set(key, b"old", ttl_ms=50)
    time.sleep(0.1)
    caller.invalidate(user(name))
    answer = lease(caller, key)
    assert kind(answer) == "granted"
    assert not answer.granted.HasField("stale")


def test_negative_and_versioned_fills(stand: Stand, key: str) -> None:
    caller, token = stand.caller, os.urandom(16)
    grant = granted(caller, key, token)
    assert fill(caller, key, token, grant, b"", negative=True, ttl_ms=60_000) == "STORED"
    assert lease(caller, key).hit.negative
    caller.set(key, b"v5", version=5)
    caller.delete(key)
    grant = granted(caller, key, token)
    assert fill(caller, key, token, grant, b"v4", version=4) == "REJECTED", "the tombstone of version 5 counts"
    grant = granted(caller, key, token)
    assert fill(caller, key, token, grant, b"v6", version=6) == "STORED"
    assert caller.value(key) == b"v6"


def test_a_foreign_value_is_neither_leased_nor_touched(stand: Stand, key: str) -> None:
    stand.redis().set(f"suite:{key}", "somebody else's")
    problem: Problem = stand.caller.refused("Lease", pb.LeaseRequest(key=text_key(key), token=os.urandom(16)))
    assert (problem.code, problem.reason) == ("FAILED_PRECONDITION", "FOREIGN_VALUE")
    assert stand.redis().get(f"suite:{key}") == b"somebody else's"


def test_batches_of_leases_and_fills(stand: Stand, name: str) -> None:
    caller = stand.caller
    keys = [f"content:topics:user:{name}{i}" for i in range(20)]
    tokens = [os.urandom(16) for _ in keys]
    caller.set(keys[0], b"there")
    items = [pb.LeaseRequest(key=text_key(key), token=token) for key, token in zip(keys, tokens, strict=True)]
    items[1].key.text = "nonsense"
    results = caller.call("BatchLease", pb.BatchLeaseRequest(items=items)).results
    assert results[0].lease.hit.value == b"there"
    assert reason_in(results[1]) == "KEY_INVALID"
    assert [kind(result.lease) for result in results[2:]] == ["granted"] * 18
    grants = [bytes(8), b"", *(result.lease.granted.grant for result in results[2:])]
    fills = [
        pb.FillRequest(set=pb.SetRequest(key=text_key(key), value=b"v"), token=token, grant=grant)
        for key, token, grant in zip(keys, tokens, grants, strict=True)
    ]
    filled = caller.call("BatchFill", pb.BatchFillRequest(items=fills)).results
    assert filled[0].fill.outcome == pb.FILL_OUTCOME_REJECTED
    assert (filled[1].error.field, reason_in(filled[1])) == ("grant", "REQUEST_INVALID")
    assert [one.fill.outcome for one in filled[2:]] == [pb.FILL_OUTCOME_STORED] * 18


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"token": b"short"}, "token"),
        ({"renew": True}, "grant"),
        ({"renew": True, "grant": b"short"}, "grant"),
        ({"lease_ms": 9}, "lease_ms"),
        ({"lease_ms": 600_001}, "lease_ms"),
        ({"wait_ms": -1}, "wait_ms"),
        ({"wait_ms": 600_001}, "wait_ms"),
        ({"extra_tags": {"nonsense": "x"}}, "extra_tags"),
    ],
)
def test_bad_leases(single: Stand, key: str, fields: dict[str, Any], field: str) -> None:
    request = pb.LeaseRequest(**{"key": text_key(key), "token": os.urandom(16), **fields})
    problem = single.caller.refused("Lease", request)
    assert problem.code == "INVALID_ARGUMENT"
    assert problem.fields == (field,)


def test_bad_fills(single: Stand, key: str) -> None:
    caller, token = single.caller, os.urandom(16)
    grant, one = granted(caller, key, token), text_key(key)
    for bad in (
        pb.FillRequest(set=pb.SetRequest(key=one, value=b"v", only_if_absent=True), token=token, grant=grant),
        pb.FillRequest(set=pb.SetRequest(key=one, value=b"v", extra_tags={"user": "u"}), token=token, grant=grant),
        pb.FillRequest(set=pb.SetRequest(key=one, value=b"v", ttl_ms=0), token=token, grant=grant),
        pb.FillRequest(set=pb.SetRequest(key=one, value=b"v"), token=token),
        pb.FillRequest(set=pb.SetRequest(key=one, value=b"v"), token=token, grant=grant + b"!"),
        pb.FillRequest(set=pb.SetRequest(key=text_key(key)), token=b"x", abandon=True),
        pb.FillRequest(set=pb.SetRequest(key=text_key(key)), token=token, abandon=True, cooldown_ms=600_001),
    ):
        assert caller.refused("Fill", bad).code == "INVALID_ARGUMENT"
    assert fill(caller, key, token, grant) == "STORED", "a refused fill loses nothing"
