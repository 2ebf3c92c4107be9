"""Somebody else's bytes under our keys: a miss or a precise error; untouched; never a crash or another key's data."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

import pytest

from coherd.v1 import cache_service_pb2 as pb
from rig.calls import reason_in, text_key
from rig.stand import SUITE_PREFIX, Stand

MAGIC = b"\xf5CH"
NOISE = random.Random(7).randbytes(600)

Plant = Callable[[Any, str], object]
"""Puts something under a name in Redis."""

FOREIGN: dict[str, Plant] = {
    "list": lambda redis, name: redis.rpush(name, "a", "b"),
    "hash": lambda redis, name: redis.hset(name, "f", "v"),
    "set": lambda redis, name: redis.sadd(name, "a"),
    "stream": lambda redis, name: redis.xadd(name, {"f": "v"}),
    "empty text": lambda redis, name: redis.set(name, b""),
    "text": lambda redis, name: redis.set(name, b"plain text, longer than the header of an entry of ours is" * 2),
    "json": lambda redis, name: redis.set(name, b'{"words": 812}'),
    "number": lambda redis, name: redis.set(name, b"1"),
    "pickle": lambda redis, name: redis.set(name, b"\x80\x04\x95\x00\x00"),
    "our magic alone": lambda redis, name: redis.set(name, MAGIC),
    "magic and format": lambda redis, name: redis.set(name, MAGIC + b"\x01"),
    "magic and a later format, cut off": lambda redis, name: redis.set(name, MAGIC + b"\x02" + NOISE[:11]),
    "magic and format zero": lambda redis, name: redis.set(name, MAGIC + bytes(100)),
}
OTHER_TYPES = ("list", "hash", "set", "stream")
"""MGET does not tell them from nothing; whoever writes is told."""
DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "noise behind the format": lambda entry: MAGIC + b"\x01" + NOISE,
    "noise with flags": lambda entry: MAGIC + b"\x01\x0b" + NOISE,
    "noise in the stamps": lambda entry: entry[:42] + NOISE[: len(entry) - 42],
    "extra tags of noise": lambda entry: entry[:4] + b"\x08" + entry[5:51] + NOISE[: len(entry) - 51],
    "stamps longer than the entry": lambda entry: entry[:40] + b"\xff\xff" + entry[42:],
    "no stamps": lambda entry: entry[:40] + b"\x00\x00" + entry[42:],
    "times at the end of time": lambda entry: entry[:16] + b"\xff" * 16 + entry[32:],
    "fresh for ever": lambda entry: entry[:24] + struct.pack(">Q", 2**64 - 1) + entry[32:],
    "unknown flags": lambda entry: entry[:4] + b"\xf0" + entry[5:],
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_not_ours_stays(stand: Stand, name: str, kind: str) -> None:
    caller, redis = stand.caller, stand.redis()
    key, neighbour = (f"analytics:mood_trends:user:{name}:range:{n}" for n in (1, 2))
    FOREIGN[kind](redis, SUITE_PREFIX + key)
    before = redis.dump(SUITE_PREFIX + key)
    assert caller.set(neighbour, b"good") == "STORED"
    expected = ("FOREIGN", "ABSENT") if kind in OTHER_TYPES else ("FOREIGN",)
    assert caller.miss(key) in expected
    answers = caller.call("BatchGet", pb.BatchGetRequest(keys=[text_key(neighbour), text_key(key)])).results
    assert (answers[0].hit.value, answers[1].WhichOneof("result")) == (b"good", "miss")
    for rpc, request in [
        ("Set", pb.SetRequest(key=text_key(key), value=b"x")),
        ("Set", pb.SetRequest(key=text_key(key), value=b"x", version=3)),
        ("Set", pb.SetRequest(key=text_key(key), value=b"x", only_if_absent=True)),
        ("Lease", pb.LeaseRequest(key=text_key(key), token=bytes(range(16)))),
        ("Delete", pb.DeleteRequest(key=text_key(key))),
        ("Invalidate", pb.InvalidateRequest(selectors=[{"key": text_key(key)}])),
    ]:
        problem = caller.refused(rpc, request)
        assert (problem.code, problem.reason) == ("FAILED_PRECONDITION", "FOREIGN_VALUE"), request
        assert "to remove them, UNLINK the key in Redis, with the deployment's key_prefix in front" in problem.message
        assert name.encode() not in problem.everything
    items = [pb.SetRequest(key=text_key(one), value=b"new", version=4) for one in (neighbour, key)]
    first, failed = caller.call("BatchSet", pb.BatchSetRequest(items=items)).results
    assert (first.set.outcome, reason_in(failed)) == (pb.SET_OUTCOME_STORED, "FOREIGN_VALUE")
    assert caller.value(neighbour) == b"new"
    assert not caller.call("Touch", pb.TouchRequest(key=text_key(key))).touched
    assert redis.dump(SUITE_PREFIX + key) == before


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_entries_are_misses(single: Stand, secret: str, kind: str) -> None:
    caller, redis = single.caller, single.redis()
    key, neighbour = (f"analytics:mood_trends:user:{secret}:range:{n}" for n in (1, 2))
    assert caller.set(neighbour, b"good") == "STORED"
    assert caller.set(key, b"payload") == "STORED"
    entry = redis.get(SUITE_PREFIX + key)
    damaged = DAMAGED[kind](entry)
    assert damaged != entry
    redis.set(SUITE_PREFIX + key, damaged)
    keys = [text_key(neighbour), text_key(key)]
    good, bad = caller.call("BatchGet", pb.BatchGetRequest(keys=keys, accept_stale=True)).results
    assert good.hit.value == b"good"
    if kind != "unknown flags":  # a later version may define them; the stamps hold
        assert bad.WhichOneof("result") == "miss"
        assert caller.miss(key) in ("FOREIGN", "INVALIDATED", "EXPIRED")
        assert not caller.call("Touch", pb.TouchRequest(key=text_key(key))).touched
    assert redis.get(SUITE_PREFIX + key) == damaged
    assert caller.set(key, b"again") == "STORED"
    assert caller.value(key) == b"again"
    redis.set(SUITE_PREFIX + key, damaged)
    assert caller.delete(key)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 15, 16, 20, 41, 42, 43, 50])
def test_every_truncation_of_an_entry(single: Stand, secret: str, size: int) -> None:
    """Neither read nor written over nor deleted; and a set beside it in the same script call is stored."""
    caller, redis = single.caller, single.redis()
    key = f"analytics:mood_trends:user:{secret}:range:1"
    caller.set(key, b"payload", version=7)
    cut = redis.get(SUITE_PREFIX + key)[:size]
    redis.set(SUITE_PREFIX + key, cut)
    assert caller.miss(key) == "FOREIGN"
    items = [pb.SetRequest(key=text_key(f"{key}{n}"), value=b"v", version=8) for n in ("", 2, 3)]
    failed, *others = caller.call("BatchSet", pb.BatchSetRequest(items=items)).results
    assert reason_in(failed) == "FOREIGN_VALUE"
    assert [other.set.outcome for other in others] == [pb.SET_OUTCOME_STORED] * 2
    assert caller.refused("Delete", pb.DeleteRequest(key=text_key(key))).reason == "FOREIGN_VALUE"
    assert redis.get(SUITE_PREFIX + key) == cut


def test_a_copy_under_another_key_is_not_served(stand: Stand, name: str) -> None:
    """Whoever copies bytes in Redis does not make one user's value another's."""
    caller, redis = stand.caller, stand.redis()
    mine, theirs = (f"psychology:profile:user:{name}{who}" for who in ("mine", "theirs"))
    caller.set(mine, b"mine")
    caller.set(theirs, b"theirs")
    redis.set(SUITE_PREFIX + theirs, redis.get(SUITE_PREFIX + mine))
    assert caller.miss(theirs) == "INVALIDATED"
    assert caller.value(mine) == b"mine"


def test_foreign_bytes_where_epochs_live(single: Stand, secret: str) -> None:
    """A broken epoch costs the hits of its tag; the next set makes a new one."""
    caller, redis = single.caller, single.redis()
    key = f"psychology:profile:user:{secret}"
    epoch = f"{SUITE_PREFIX}coherd:epoch:psychology/user:{secret}"
    for plant in (lambda: redis.set(epoch, b"short"), lambda: redis.delete(epoch) and redis.rpush(epoch, "a")):
        caller.set(key, b"v")
        assert caller.value(key) == b"v"
        assert len(redis.get(epoch)) == 8
        plant()
        assert caller.miss(key) == "INVALIDATED"
