"""Entries and leases of a later version of Coherd: misses that can be deleted and replaced, and no promise is lost
[later-format]."""

from __future__ import annotations

import os
import struct
from typing import Any

import pytest

from coherd.v1 import cache_service_pb2 as pb
from rig.calls import text_key
from rig.stand import SUITE_PREFIX, Stand

TOKEN = bytes(range(16))
NOISE = bytes(range(200, 256)) * 3


def later_entry(*, version: int | None = None, size: int = 160) -> bytes:
    """What a later version may store: of the header only the first 16 bytes are as they are now."""
    flags = 0 if version is None else 2
    return (b"\xf5CH\x02" + struct.pack(">B3xQ", flags, version or 0) + os.urandom(8) + NOISE)[:size]


def lease_name(key: str) -> str:
    return f"{SUITE_PREFIX}coherd:lease:{{{SUITE_PREFIX}{key}}}"


@pytest.fixture
def key(name: str) -> str:
    return f"analytics:mood_trends:user:{name}:range:1"


@pytest.mark.parametrize("size", [16, 20, 50, 51, 160])
def test_it_is_a_miss_and_stays(stand: Stand, key: str, size: int) -> None:
    caller, redis = stand.caller, stand.redis()
    entry = later_entry(size=size)
    redis.set(SUITE_PREFIX + key, entry)
    assert caller.miss(key) == "LATER_FORMAT"
    answers = caller.call("BatchGet", pb.BatchGetRequest(keys=[text_key(key)])).results
    assert answers[0].miss.reason == pb.MISS_REASON_LATER_FORMAT
    assert not caller.call("Touch", pb.TouchRequest(key=text_key(key))).touched
    assert caller.set(key, b"mine", only_if_absent=True) == "PRESENT"
    assert redis.get(SUITE_PREFIX + key) == entry


@pytest.mark.parametrize("size", [16, 20, 50, 51, 160])
def test_it_is_replaced_and_deleted(stand: Stand, key: str, size: int) -> None:
    caller, redis = stand.caller, stand.redis()
    redis.set(SUITE_PREFIX + key, later_entry(size=size))
    assert caller.set(key, b"mine") == "STORED"
    assert caller.value(key) == b"mine"
    redis.set(SUITE_PREFIX + key, later_entry(size=size))
    assert caller.delete(key)
    assert caller.miss(key) == "ABSENT"
    assert redis.get(SUITE_PREFIX + key) is None


@pytest.mark.parametrize("size", [16, 20, 50, 51, 160])
def test_its_version_counts_and_outlives_a_delete(stand: Stand, key: str, size: int) -> None:
    caller, redis = stand.caller, stand.redis()
    redis.set(SUITE_PREFIX + key, later_entry(version=7, size=size))
    assert caller.set(key, b"older", version=6) == "OLDER_VERSION"
    assert caller.delete(key)
    assert caller.miss(key) == "ABSENT"
    assert caller.set(key, b"older", version=6) == "OLDER_VERSION"
    assert caller.set(key, b"newer", version=8) == "STORED"


def granted(stand: Stand, key: str) -> pb.LeaseGranted:
    answer: pb.LeaseResponse = stand.caller.call("Lease", pb.LeaseRequest(key=text_key(key), token=TOKEN))
    assert answer.WhichOneof("result") == "granted"
    return answer.granted


def filled(stand: Stand, key: str, grant: pb.LeaseGranted) -> Any:
    request = pb.FillRequest(token=TOKEN, grant=grant.grant)
    request.set.key.text, request.set.value = key, b"loaded"
    return stand.caller.call("Fill", request).outcome


def test_a_load_replaces_it(stand: Stand, key: str) -> None:
    stand.redis().set(SUITE_PREFIX + key, later_entry())
    assert filled(stand, key, granted(stand, key)) == pb.FILL_OUTCOME_STORED
    assert stand.caller.value(key) == b"loaded"


def test_a_load_from_before_it_does_not_replace_it(stand: Stand, key: str) -> None:
    """Whoever writes voids the lease, later versions too."""
    redis, grant, entry = stand.redis(), granted(stand, key), later_entry()
    redis.delete(lease_name(key))
    redis.set(SUITE_PREFIX + key, entry)
    assert filled(stand, key, grant) == pb.FILL_OUTCOME_REJECTED
    assert redis.get(SUITE_PREFIX + key) == entry


def test_a_lease_of_a_later_format_is_respected_and_released_by_its_token(stand: Stand, key: str) -> None:
    caller, redis = stand.caller, stand.redis()
    lease = b"\x03" + TOKEN + os.urandom(8) + NOISE
    redis.set(lease_name(key), lease, px=60_000)
    for token in (TOKEN, os.urandom(16)):
        held = caller.call("Lease", pb.LeaseRequest(key=text_key(key), token=token))
        assert held.WhichOneof("result") == "held"
    assert redis.get(lease_name(key)) == lease
    release = pb.FillRequest(token=TOKEN, abandon=True)
    release.set.key.text = key
    caller.call("Fill", release)
    assert redis.get(lease_name(key)) is None
    granted(stand, key)
