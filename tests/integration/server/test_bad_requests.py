"""Values, options and whole messages nobody should send. Keys: test_bad_keys.py."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from coherd import CacheClient, InvalidRequest, OpenKey
from coherd.contract.reasons import reason_name
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import keys_pb2
from coherd_server.settings import Settings
from rig.calls import RPCS, reason_in, text_key
from rig.stand import CallerMaker, Stand

DEFAULTS = Settings()
DAY_MS = 86_400_000
HEALTH = "maintenance:system_health"


def profile(secret: str, **fields: Any) -> pb.SetRequest:
    """A set of a psychology profile: a domain with the tags user and content."""
    return pb.SetRequest(key=text_key(f"psychology:profile:user:{secret}"), **fields)


def refused_set(stand: Stand, request: pb.SetRequest, secret: str) -> tuple[str, tuple[str, ...], str]:
    """Reason, field and text of a set that is refused alike alone and in a batch, and changes nothing."""
    problem = stand.caller.refused("Set", request)
    assert (problem.code, problem.domain, problem.retry_ms) == ("INVALID_ARGUMENT", "coherd", None)
    good = pb.SetRequest(key=text_key(f"celery:task_metrics:id:{secret}"), ttl_ms=1_000)
    first, failed, last = stand.caller.call("BatchSet", pb.BatchSetRequest(items=[good, request, good])).results
    assert first.HasField("set")
    assert last.HasField("set")
    assert (reason_in(failed), failed.error.message) == (problem.reason, problem.message)
    assert (failed.error.field,) == problem.fields
    assert secret.encode() not in problem.everything
    assert stand.caller.miss(request.key.text) == "ABSENT"
    return problem.reason, problem.fields, problem.message


@pytest.mark.parametrize("ttl_ms", [0, -1, -(2**63), 30 * DAY_MS + 1, 2**63 - 1])
def test_ttl_out_of_range(single: Stand, secret: str, ttl_ms: int) -> None:
    reason, fields, message = refused_set(single, profile(secret, ttl_ms=ttl_ms), secret)
    assert (reason, fields) == ("TTL_INVALID", ("ttl_ms",))
    assert "1ms..30d" in message
    single.caller.set(f"psychology:profile:user:{secret}", ttl_ms=5_000)
    touch = pb.TouchRequest(key=text_key(f"psychology:profile:user:{secret}"), ttl_ms=ttl_ms)
    problem = single.caller.refused("Touch", touch)
    assert (problem.code, problem.reason, problem.fields) == ("INVALID_ARGUMENT", "TTL_INVALID", ("ttl_ms",))


def test_a_batch_whose_answer_is_too_long(single: Stand, secret: str) -> None:
    """Noticed while it is read, not after all of it is in memory; fewer keys are answered."""
    key = f"psychology:profile:user:{secret}"
    single.caller.set(key, bytes(1 << 20), ttl_ms=30_000)
    keys = [text_key(key)] * 20
    problem = single.caller.refused("BatchGet", pb.BatchGetRequest(keys=keys))
    assert (problem.code, problem.reason) == ("INVALID_ARGUMENT", "ANSWER_TOO_LARGE")
    assert f"max_message_bytes of {DEFAULTS.max_message_bytes}" in problem.message
    assert len(single.caller.call("BatchGet", pb.BatchGetRequest(keys=keys[:10])).results) == 10


def test_value_over_the_limit_which_the_error_names(single: Stand, secret: str) -> None:
    limit = DEFAULTS.max_value_bytes
    big = (secret.encode() * (limit // len(secret) + 1))[: limit + 1]
    reason, fields, message = refused_set(single, profile(secret, value=big), secret)
    assert (reason, fields) == ("VALUE_TOO_LARGE", ("value",))
    assert f"max_value_bytes is {limit}" in message
    key = f"psychology:profile:user:{secret}"
    assert single.caller.set(key, big[:limit], ttl_ms=5_000) == "STORED"
    assert single.caller.value(key) == big[:limit]


@pytest.mark.parametrize("version", [0, 2**63, 2**64 - 1])
def test_version_out_of_range(single: Stand, secret: str, version: int) -> None:
    reason, fields, message = refused_set(single, profile(secret, version=version), secret)
    assert (reason, fields) == ("VERSION_INVALID", ("version",))
    assert str(2**63 - 1) in message


def test_a_remembered_nothing_has_no_value(single: Stand, secret: str) -> None:
    request = profile(secret, value=secret.encode(), negative=True, ttl_ms=1_000)
    reason, fields, _ = refused_set(single, request, secret)
    assert (reason, fields) == ("REQUEST_INVALID", ("value",))
    reason, fields, message = refused_set(single, profile(secret, negative=True), secret)
    assert (reason, fields) == ("TTL_INVALID", ("ttl_ms",))
    assert "remember" in message


@pytest.mark.parametrize(
    ("tags", "reason", "field"),
    [
        ({"date": "20250806"}, "TAG_INVALID", "extra_tags"),
        ({"": "x"}, "TAG_INVALID", "extra_tags"),
        ({"user:1": "x"}, "TAG_INVALID", "extra_tags"),
        ({"user" * 20_000: "x"}, "TAG_INVALID", "extra_tags"),
        ({f"tag{index}": "x" for index in range(17)}, "TAG_INVALID", "extra_tags"),
        ({"user": ""}, "IDENTIFIER_INVALID", "user"),
        ({"user": "x" * 65_536}, "IDENTIFIER_INVALID", "user"),
        ({"user": ":" * 200}, "TAG_INVALID", "extra_tags"),
    ],
    ids=["undeclared", "empty name", "hostile name", "long name", "too many", "empty value", "64 KiB", "long encoded"],
)
def test_extra_tags(single: Stand, secret: str, tags: dict[str, str], reason: str, field: str) -> None:
    request = profile(secret, value=b"v", extra_tags={name: value and value + secret for name, value in tags.items()})
    assert refused_set(single, request, secret)[:2] == (reason, (field,))


@pytest.mark.parametrize("selector", ["tag", "tag of a domain", "named", "key"])
def test_a_date_that_is_none_selects_nothing_and_says_so(single: Stand, selector: str) -> None:
    tag = {"identifier": "date", "value": "2025-08-06"}
    selectors: dict[str, Any] = {
        "tag": {"tag": tag},
        "tag of a domain": {"tag": {**tag, "domain": "maintenance"}},
        "named": {"named": {"name": "date", "value": "2025-08-06"}},
        "key": {"key": {"text": "analytics:own:date:2025-08-06"}},
    }
    problem = single.caller.refused("Invalidate", pb.InvalidateRequest(selectors=[selectors[selector]]))
    assert (problem.code, problem.reason, problem.fields) == ("INVALID_ARGUMENT", "IDENTIFIER_INVALID", ("date",))
    assert "as YYYYMMDD" in problem.message


@pytest.mark.parametrize("rpc", ["Set", "Lease"])
def test_an_extra_tag_that_is_not_canonical(single: Stand, name: str, rpc: str) -> None:
    key, extra = text_key(f"analytics:mood_trends:user:{name}:range:30d"), {"date": "2025-08-06"}
    request = {
        "Set": pb.SetRequest(key=key, extra_tags=extra),
        "Lease": pb.LeaseRequest(key=key, extra_tags=extra, token=bytes(range(16))),
    }[rpc]
    problem = single.caller.refused(rpc, request)
    assert (problem.reason, problem.fields) == ("IDENTIFIER_INVALID", ("date",))


def test_extra_tags_that_are_not_utf8(single: Stand, secret: str) -> None:
    request = profile(secret, extra_tags={"user": "@@@"}).SerializeToString()
    assert single.caller.refused("Set", request.replace(b"@@@", b"\xed\xa0\x80")).reason == "REQUEST_MALFORMED"


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("data", [b"\xff" * 40, b"\x0a\xff\xff\xff\x7f", b"\x0a\x05ab", b"\x0b", b"\x00\x01"], ids=repr)
def test_bytes_that_are_no_message(single: Stand, secret: str, rpc: str, data: bytes) -> None:
    problem = single.caller.refused(rpc, data + secret.encode())
    assert (problem.code, problem.reason, problem.domain) == ("INVALID_ARGUMENT", "REQUEST_MALFORMED", "coherd")
    assert f"coherd.v1.{rpc}Request" in problem.message
    assert secret.encode() not in problem.everything


@pytest.mark.parametrize(
    ("rpc", "reason", "field"),
    [
        ("Get", "REQUEST_INVALID", "key"),
        ("Set", "REQUEST_INVALID", "key"),
        ("Delete", "REQUEST_INVALID", "key"),
        ("Touch", "REQUEST_INVALID", "key"),
        ("Invalidate", "SELECTOR_INVALID", "selectors"),
    ],
)
def test_empty_requests_that_lack_something(single: Stand, rpc: str, reason: str, field: str) -> None:
    problem = single.caller.refused(rpc, b"")
    assert (problem.code, problem.reason, problem.fields) == ("INVALID_ARGUMENT", reason, (field,))


def test_empty_requests_that_are_answered(single: Stand) -> None:
    assert not single.caller.call("BatchGet", b"").results
    assert not single.caller.call("BatchSet", b"").results
    assert len(single.caller.call("Metrics", b"").domains) == 8
    assert len(single.caller.call("DescribeCatalog", b"").domains) == 8


@pytest.mark.parametrize("rpc", ["Metrics", "DescribeCatalog"])
def test_domains_that_do_not_exist(single: Stand, secret: str, rpc: str) -> None:
    request = RPCS[rpc][0](domains=["analytics", secret])  # type: ignore[call-arg]
    problem = single.caller.refused(rpc, request)
    assert (problem.code, problem.reason, problem.fields) == ("INVALID_ARGUMENT", "DOMAIN_UNKNOWN", ("domain",))
    assert secret.encode() not in problem.everything


SELECTORS = [
    ({}, "SELECTOR_INVALID", "selectors"),
    ({"tag": {}}, "TAG_INVALID", "identifier"),
    ({"tag": {"identifier": "@@", "value": "x"}}, "TAG_INVALID", "identifier"),
    ({"tag": {"identifier": "content", "value": "x", "domain": "crisis"}}, "TAG_INVALID", "identifier"),
    ({"tag": {"identifier": "user", "value": "x", "domain": "@@"}}, "DOMAIN_UNKNOWN", "domain"),
    ({"tag": {"identifier": "user", "value": "*"}}, "TAG_INVALID", "identifier"),
    ({"tag": {"identifier": "user", "value": ""}}, "IDENTIFIER_INVALID", "user"),
    ({"tag": {"identifier": "user", "value": "@@" * 40_000}}, "IDENTIFIER_INVALID", "user"),
    ({"named": {}}, "SELECTOR_INVALID", "name"),
    ({"named": {"name": "@@", "value": "x"}}, "SELECTOR_INVALID", "name"),
    ({"named": {"name": "user", "value": ""}}, "IDENTIFIER_INVALID", "user"),
    ({"named": {"name": "user", "value": "@@" * 40_000}}, "IDENTIFIER_INVALID", "user"),
    ({"named": {"name": "date", "value": "@@"}}, "IDENTIFIER_INVALID", "date"),
    ({"named": {"name": "date", "value": "*"}}, "IDENTIFIER_INVALID", "date"),
    ({"resource": {"domain": "@@", "resource": "x"}}, "DOMAIN_UNKNOWN", "domain"),
    ({"resource": {"domain": "celery", "resource": ""}}, "SELECTOR_INVALID", "resource"),
    ({"resource": {"domain": "celery", "resource": "a:@@"}}, "SELECTOR_INVALID", "resource"),
    ({"domain": {"domain": ""}}, "DOMAIN_UNKNOWN", "domain"),
    ({"domain": {"domain": "*"}}, "DOMAIN_UNKNOWN", "domain"),
    ({"key": {}}, "REQUEST_INVALID", "key"),
]


@pytest.mark.parametrize(("selector", "reason", "field"), SELECTORS, ids=lambda value: str(value)[:60])
def test_selectors(single: Stand, secret: str, selector: Any, reason: str, field: str) -> None:
    """A bad selector invalidates nothing, whatever stands before it."""
    kept = f"celery:own:id:{secret}"
    single.caller.set(kept, ttl_ms=5_000)
    kind = {one: {k: v.replace("@@", secret) for k, v in fields.items()} for one, fields in selector.items()}
    bad = keys_pb2.Selector(**kind)
    good = [
        keys_pb2.Selector(key=text_key(kept)),
        keys_pb2.Selector(resource={"domain": "celery", "resource": "own"}),
    ]
    problem = single.caller.refused("Invalidate", pb.InvalidateRequest(selectors=[*good, bad]))
    assert (problem.code, problem.reason, problem.fields) == ("INVALID_ARGUMENT", reason, (field,))
    assert secret.encode() not in problem.everything
    assert single.caller.value(kept) == b"v"


def test_too_many_selectors(single: Stand, secret: str) -> None:
    many = [keys_pb2.Selector(tag={"identifier": "user", "value": f"{secret}{n}"}) for n in range(101)]
    problem = single.caller.refused("Invalidate", pb.InvalidateRequest(selectors=many))
    assert (problem.reason, problem.fields) == ("SELECTOR_INVALID", ("selectors",))
    assert "1..100" in problem.message
    assert len(single.caller.invalidate(*many[:100]).tags) == 5 * 100


def test_batches_over_the_limit_which_the_error_names(single: Stand) -> None:
    limit = DEFAULTS.max_batch_items
    keys = [text_key(HEALTH)] * (limit + 1)
    sets = [pb.SetRequest(key=text_key(HEALTH))] * (limit + 1)
    for rpc, request in (("BatchGet", pb.BatchGetRequest(keys=keys)), ("BatchSet", pb.BatchSetRequest(items=sets))):
        problem = single.caller.refused(rpc, request)
        assert (problem.code, problem.reason) == ("INVALID_ARGUMENT", "BATCH_TOO_LARGE")
        assert f"max_batch_items is {limit}" in problem.message
    answer = single.caller.call("BatchGet", pb.BatchGetRequest(keys=keys[:limit]))
    assert len(answer.results) == limit


@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip], ids=["plain", "gzip bomb"])
def test_message_over_the_limit(single: Stand, connect: CallerMaker, secret: str, compression: Any) -> None:
    caller = connect(single.server.target, compression=compression)
    over = bytes(DEFAULTS.max_message_bytes + 1) if compression is None else bytes(40 << 20)
    problem = caller.refused("Set", profile(secret, value=over))
    assert problem.code == "RESOURCE_EXHAUSTED"
    assert secret.encode() not in problem.everything
    assert single.caller.miss(f"psychology:profile:user:{secret}") == "ABSENT"
    assert caller.set(f"psychology:profile:user:{secret}", bytes(100_000), ttl_ms=1_000) == "STORED"


@pytest.mark.parametrize("sessions", [True, False])
async def test_a_value_over_the_message_limit_is_refused_as_too_large(
    single: Stand, secret: str, sessions: bool
) -> None:
    """Not as an outage, which a lenient client would pass over in silence."""
    lenient = CacheClient.connect(single.server.target, sessions=sessions, on_unavailable="miss", timeout_ms=60_000)
    async with lenient as cache:
        with pytest.raises(InvalidRequest) as refused:
            await cache.set(OpenKey("celery", "own", {"id": secret}), "x" * (DEFAULTS.max_message_bytes + 1))
    assert reason_name(refused.value.reason) == "VALUE_TOO_LARGE"


def test_a_method_that_does_not_exist(single: Stand, secret: str) -> None:
    problem = single.caller.refused("/coherd.v1.CacheService/Nothing", secret.encode())
    assert problem.code == "UNIMPLEMENTED"
    assert secret.encode() not in problem.everything
