"""Operations over the session: every kind, answered one by one, alike on every kind of store."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import pytest

from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import session_pb2 as session_pb
from rig.calls import Caller, reason_in, text_key
from rig.frames import Answer, Asked
from rig.raw_session import RawSession
from rig.server import CoherdServer
from rig.stand import Stand
from rig.valkey import standalone


@pytest.fixture
def key(name: str) -> str:
    return f"celery:own:id:{name}"


async def test_every_kind_of_operation(stand: Stand, key: str) -> None:
    async with RawSession(stand.server.target) as session:
        assert len(session.welcome.session_id) == 16
        assert (session.welcome.protocol, len(session.welcome.near_caches)) == (2, 0)

        async def one(kind: str, request: Any) -> Any:
            [result] = await session.ask(session.operation(**{kind: request}))
            assert result.WhichOneof("response") == kind, result
            return getattr(result, kind)

        target = text_key(key)
        assert (await one("get", pb.GetRequest(key=target))).miss.reason == pb.MISS_REASON_ABSENT
        stored = await one("set", pb.SetRequest(key=target, value=b"v1", ttl_ms=60_000))
        assert (stored.outcome, stored.ttl_ms) == (pb.SET_OUTCOME_STORED, 60_000)
        assert (await one("get", pb.GetRequest(key=target))).hit.value == b"v1"
        several = [session.set(f"{key}2", b"v2"), session.set("", b"v3"), session.set(f"{key}4", b"v4")]
        first, second, third = await session.ask(*several)
        assert first.set.outcome == third.set.outcome == pb.SET_OUTCOME_STORED
        assert reason_in(second) == "KEY_INVALID"
        results = await session.ask(*map(session.get, (key, f"{key}2", f"{key}3", f"{key}4")))
        assert [item.get.hit.value for item in results] == [b"v1", b"v2", b"", b"v4"]
        assert (await one("touch", pb.TouchRequest(key=target, ttl_ms=30_000))).touched
        assert (await one("delete", pb.DeleteRequest(key=target))).existed
        token = os.urandom(16)
        lease = pb.LeaseRequest(key=target, token=token, lease_ms=10_000)
        grant = (await one("lease", lease)).granted.grant
        filling = pb.FillRequest(set=pb.SetRequest(key=target, value=b"v4"), token=token, grant=grant)
        filled = await one("fill", filling)
        assert filled.outcome == pb.FILL_OUTCOME_STORED
        third = text_key(f"{key}3")
        lease = pb.LeaseRequest(key=third, token=token, lease_ms=10_000)
        grant = (await one("batch_lease", pb.BatchLeaseRequest(items=[lease]))).results[0].lease.granted.grant
        fills = [pb.FillRequest(set=pb.SetRequest(key=third, value=b"v5"), token=token, grant=grant)]
        results = (await one("batch_fill", pb.BatchFillRequest(items=fills))).results
        assert results[0].fill.outcome == pb.FILL_OUTCOME_STORED
        invalidated = await one("invalidate", pb.InvalidateRequest(selectors=[{"key": target}]))
        assert invalidated.deleted_keys == 1
        assert (await session.end()) == []


def test_no_kind_of_operation_is_left_out() -> None:
    """A kind that is added to the contract needs a line above."""
    assert {field.name for field in session_pb.Operation.DESCRIPTOR.oneofs_by_name["request"].fields} == {
        "lease", "fill", "delete", "touch", "invalidate", "batch_lease", "batch_fill",
    }  # fmt: skip
    assert set(session_pb.RequestFrame.DESCRIPTOR.fields_by_name) == {"operations", "gets", "sets"}


async def test_one_bad_operation_never_fails_its_frame(stand: Stand, key: str) -> None:
    async with RawSession(stand.server.target) as session:
        await session.ask(session.set(key, b"value"))
        frame = [
            session.get(key),
            session.get("nowhere:x:id:1"),
            session.get("content:topics"),
            session.operation(),
            session.get(""),
            session.set(key, b"x" * ((1 << 20) + 1)),
            session.operation(set=pb.SetRequest(key=text_key(key), ttl_ms=-1)),
            session.operation(touch=pb.TouchRequest(key=text_key(key), ttl_ms=-1)),
            session.operation(invalidate=pb.InvalidateRequest()),
            session.operation(lease=pb.LeaseRequest(key=text_key(key), token=b"short")),
            session.operation(fill=pb.FillRequest(set=pb.SetRequest(key=text_key("content:")))),
            session.get(key),
        ]
        results = await session.ask(*frame)
        assert [one.get.hit.value for one in (results[0], results[-1])] == [b"value"] * 2
        reasons = [reason_in(result) for result in results[1:-1]]
        assert reasons[:5] == [
            "DOMAIN_UNKNOWN",
            "IDENTIFIER_INVALID",
            "REQUEST_INVALID",
            "KEY_INVALID",
            "VALUE_TOO_LARGE",
        ]
        assert "INTERNAL" not in reasons
        assert (await session.ask(session.get(key)))[0].get.hit.value == b"value"


async def test_a_frame_is_answered_as_results_come(single: Stand, key: str) -> None:
    """A lease that waits holds up nothing [concurrent-frame]."""
    async with RawSession(single.server.target) as session:
        token = os.urandom(16)
        held = pb.LeaseRequest(key=text_key(key), token=token, lease_ms=60_000)
        [granted] = await session.ask(session.operation(lease=held))
        waits = session.operation(lease=pb.LeaseRequest(key=text_key(key), token=os.urandom(16), wait_ms=60_000))
        get, write = session.get(f"{key}2"), session.set(f"{key}3")
        await session.send(waits, get, write)
        await session.answers(get, write)
        assert not session.is_answered(waits)
        await session.send(session.operation(fill=_fill(key, token, granted)))
        [answer] = await session.answers(waits)
        assert answer.lease.hit.value == b"loaded"


async def test_a_cancelled_wait_ends_and_is_not_answered(single: Stand, key: str) -> None:
    async with RawSession(single.server.target) as session:
        token = os.urandom(16)
        held = pb.LeaseRequest(key=text_key(key), token=token, lease_ms=60_000)
        [granted] = await session.ask(session.operation(lease=held))
        cancelled, kept = (
            session.operation(lease=pb.LeaseRequest(key=text_key(key), token=os.urandom(16), wait_ms=60_000))
            for _ in range(2)
        )
        await session.send(cancelled, kept)
        await session.say(session_pb.SessionRequest(cancel=session_pb.CancelFrame(ids=[cancelled.id, 10**15])))
        await session.ask(session.get(f"{key}2"))
        await session.ask(session.operation(fill=_fill(key, token, granted)))
        [answer] = await session.answers(kept)
        assert answer.lease.hit.value == b"loaded"
        rest = await session.end()
        assert not session.is_answered(cancelled), rest


async def test_each_operation_has_its_own_time(key: str) -> None:
    """With the store paused: what has little time is told so, whoever has more is answered later."""
    with standalone() as node, CoherdServer("--redis", node.url, "--redis-timeout", "60s") as server:
        async with RawSession(server.target) as session:
            await session.ask(session.set(key, b"before"))
            node.pause()
            hurried = session.operation(delete=pb.DeleteRequest(key=text_key(f"{key}2")), timeout_ms=400)
            patient = session.get(key)
            await session.send(hurried, patient)
            results = await session.answers(hurried)
            assert [reason_in(result) for result in results] == ["OUTCOME_UNKNOWN"]
            assert not session.is_answered(patient)
            node.resume()
            [answer] = await session.answers(patient)
            assert answer.get.hit.value == b"before"


async def test_a_set_is_not_begun_after_its_time(key: str) -> None:
    """It waits for its turn behind another set of its key, which a paused store holds."""
    with standalone() as node, CoherdServer("--redis", node.url, "--redis-timeout", "60s") as server:
        async with RawSession(server.target) as session:
            await session.ask(session.set(key, b"before"))
            node.pause()
            first, late = session.set(key, b"first"), session.set(key, b"late", timeout_ms=200)
            cancelled = session.set(key, b"cancelled")
            await session.send(first)
            await session.send(late, cancelled)
            await session.say(session_pb.SessionRequest(cancel=session_pb.CancelFrame(ids=[cancelled.id])))
            await session.ask(session.get("no key"))  # it needs no store: what was said before it is taken
            await asyncio.sleep(0.3)  # the time of the late one is over
            node.resume()
            one, two, three = await session.answers(first, late, cancelled)
            assert one.set.outcome == pb.SET_OUTCOME_STORED
            assert reason_in(two) == reason_in(three) == "DEADLINE_EXCEEDED"
            assert (await session.ask(session.get(key)))[0].get.hit.value == b"first"


async def test_the_same_id_twice_harms_nobody_else(single: Stand, key: str) -> None:
    async with RawSession(single.server.target) as session, RawSession(single.server.target) as neighbour:
        same = [Asked(7, "delete", pb.DeleteRequest(key=text_key(key))) for _ in range(3)]
        await session.send(*same)
        for _ in range(50):
            await neighbour.ask(neighbour.get(key))
        with pytest.raises(AssertionError, match="answered twice"):
            await session.answers(same[0], session.get(key))
    with Caller(single.server.target) as caller:
        assert caller.health() == "SERVING"


async def test_counts_and_values_are_those_of_unary_calls(single: Stand, key: str) -> None:
    """What a session writes a unary call reads, and the other way round."""
    async with RawSession(single.server.target) as session:
        await session.ask(session.set(key, b"1"))
        assert await asyncio.to_thread(single.caller.value, key) == b"1"
        await asyncio.to_thread(single.caller.set, key, b"2")
        assert (await session.ask(session.get(key)))[0].get.hit.value == b"2"
        began_s = time.monotonic()
        many = [session.get(key) for _ in range(4_000)]
        results = await session.ask(*many)
        assert [result.get.hit.value for result in results] == [b"2"] * 4_000
        assert len(session.messages) < 60, "answers share messages"
        assert time.monotonic() - began_s < 60


def _fill(key: str, token: bytes, lease: Answer) -> pb.FillRequest:
    """The fill of a lease that was granted."""
    loaded = pb.SetRequest(key=text_key(key), value=b"loaded")
    return pb.FillRequest(set=loaded, token=token, grant=lease.lease.granted.grant)
