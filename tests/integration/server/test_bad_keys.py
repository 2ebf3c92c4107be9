"""Keys nobody should send, as text and as parts, in every rpc that takes a key, alone and inside batches."""

from __future__ import annotations

from typing import Any

import pytest

from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import keys_pb2
from rig.calls import Problem, parts_key, reason_in, text_key
from rig.stand import Stand

STATED = ":*{}[]?%\\ \n\r\t\0\x7f\x85é☃𝄞"
"""Characters that must not do anything in a key."""
UNENCODED = [":", "*", "{x}", "?", "[a]", "\\", " ", "\n", "\0", "\x7f", "\x85", "%", "%3a", "%41", "%zz", "%FF"]


def requests_for(key: keys_pb2.Key) -> list[tuple[str, Any]]:
    """A request of every rpc that takes one key."""
    return [
        ("Get", pb.GetRequest(key=key)),
        ("Set", pb.SetRequest(key=key, value=b"v")),
        ("Delete", pb.DeleteRequest(key=key)),
        ("Touch", pb.TouchRequest(key=key)),
        ("Invalidate", pb.InvalidateRequest(selectors=[keys_pb2.Selector(key=key)])),
    ]


@pytest.mark.parametrize("values", [("",), ("x" * 600,), ("v", "")], ids=["empty", "long", "second empty"])
def test_names_of_identifiers_the_catalog_does_not_know_are_not_repeated(
    single: Stand, secret: str, values: tuple[str, ...]
) -> None:
    """In an open domain a caller may put anything where a name belongs, a person's, too."""
    pairs = [(f"{secret}_{number}", value) for number, value in enumerate(values)]
    problem = refused_everywhere(single, parts_key("content", "own", *pairs), secret)
    assert (problem.reason, problem.fields) == ("IDENTIFIER_INVALID", ("identifiers",))
    assert "an identifier of an undeclared resource" in problem.message
    known = single.caller.refused("Get", pb.GetRequest(key=parts_key("content", "own", ("user", ""))))
    assert (known.message, known.fields) == ("identifier 'user' is empty", ("user",)), (
        "the catalog says this name itself"
    )


def refused_everywhere(stand: Stand, key: keys_pb2.Key, secret: str) -> Problem:
    """The key is refused alike by every rpc, alone and beside a good one; without telling its values."""
    problems = set()
    for rpc, request in requests_for(key):
        problem = stand.caller.refused(rpc, request)
        assert secret.encode() not in problem.everything, rpc
        assert (problem.code, problem.domain) == ("INVALID_ARGUMENT", "coherd"), rpc
        assert problem.retry_ms is None
        problems.add(problem._replace(everything=b""))
    [problem] = problems
    assert len(problem.fields) == 1
    good = text_key(f"celery:task_metrics:id:{secret}")
    batches: list[tuple[str, Any, str]] = [
        ("BatchGet", pb.BatchGetRequest(keys=[good, key, good]), "miss"),
        ("BatchSet", pb.BatchSetRequest(items=[pb.SetRequest(key=one, ttl_ms=1) for one in (good, key, good)]), "set"),
    ]
    for rpc, request, kind in batches:
        first, failed, last = stand.caller.call(rpc, request).results
        assert (first.HasField(kind), last.HasField(kind)) == (True, True), f"{rpc}: a bad item fails no other"
        assert (reason_in(failed), failed.error.message) == (problem.reason, problem.message)
        assert (failed.error.field, failed.error.retry_after_ms) == (problem.fields[0], 0)
    return problem


@pytest.mark.parametrize("hostile", UNENCODED, ids=repr)
def test_text_that_is_not_canonical(single: Stand, secret: str, hostile: str) -> None:
    problem = refused_everywhere(single, text_key(f"analytics:mood_trends:user:{secret}{hostile}:range:1"), secret)
    assert (problem.reason, problem.fields) == ("KEY_INVALID", ("key",))


@pytest.mark.parametrize(
    ("key", "reason", "field"),
    [
        pytest.param(text_key(""), "KEY_INVALID", "key", id="empty"),
        pytest.param(text_key("analytics"), "KEY_INVALID", "key", id="no resource"),
        pytest.param(text_key("Analytics:daily"), "KEY_INVALID", "key", id="upper case"),
        pytest.param(text_key("analytics::user:u"), "KEY_INVALID", "key", id="empty resource"),
        pytest.param(text_key("analytics:x:user:"), "KEY_INVALID", "key", id="empty value"),
        pytest.param(text_key("analytics:x:user:a:user:b"), "KEY_INVALID", "key", id="twice"),
        pytest.param(text_key("coherd:epoch:analytics"), "DOMAIN_UNKNOWN", "domain", id="our own names"),
        pytest.param(text_key("nowhere:x"), "DOMAIN_UNKNOWN", "domain", id="domain"),
        pytest.param(parts_key("nowhere", "x"), "DOMAIN_UNKNOWN", "domain", id="domain in parts"),
        pytest.param(parts_key("", ""), "DOMAIN_UNKNOWN", "domain", id="empty parts"),
        pytest.param(parts_key("analytics", ""), "KEY_INVALID", "key", id="no resource in parts"),
        pytest.param(parts_key("analytics", "a:b"), "KEY_INVALID", "key", id="resource with colon"),
        pytest.param(text_key("analytics:daily:user:u"), "IDENTIFIER_INVALID", "date", id="missing"),
        pytest.param(parts_key("analytics", "daily", ("user", "u")), "IDENTIFIER_INVALID", "date", id="missing part"),
        pytest.param(
            parts_key("analytics", "daily", ("user", "u"), ("date", "20250806"), ("more", "x")),
            "IDENTIFIER_INVALID",
            "identifiers",
            id="superfluous",
        ),
        pytest.param(
            parts_key("analytics", "daily", ("user", "u"), ("user", "u")),
            "IDENTIFIER_INVALID",
            "key.parts.identifiers",
            id="twice in parts",
        ),
        pytest.param(
            text_key("analytics:daily:date:20250806:user:u"), "KEY_INVALID", "key", id="text not in declared order"
        ),
        pytest.param(
            parts_key("psychology", "profile", ("user", "")), "IDENTIFIER_INVALID", "user", id="empty identifier"
        ),
        *(
            pytest.param(
                parts_key("analytics", "daily", ("user", "u"), ("date", day)),
                "IDENTIFIER_INVALID",
                "date",
                id=repr(day),
            )
            for day in ("2025-08-06", "20250230", "00000101", "20250806\n", "٢٠٢٥٠٨٠٦", "None")
        ),
        *(
            pytest.param(
                parts_key("analytics", "writing_stats", ("user", "u"), ("days", days)),
                "IDENTIFIER_INVALID",
                "days",
                id=repr(days),
            )
            for days in ("30", "030d", "-1d", "+1d", "1.5d", "4294967296d", "9" * 400 + "d", "٣d", "d", "30D")
        ),
    ],
)
def test_what_the_catalog_does_not_know(single: Stand, secret: str, key: keys_pb2.Key, reason: str, field: str) -> None:
    problem = refused_everywhere(single, key, secret)
    assert (problem.reason, problem.fields) == (reason, (field,))


def test_too_long(single: Stand, secret: str) -> None:
    long = secret + "x" * 65_536
    problem = refused_everywhere(single, parts_key("psychology", "profile", ("user", long)), secret)
    assert (problem.reason, problem.fields) == ("IDENTIFIER_INVALID", ("user",))
    assert "512 bytes" in problem.message
    encoded = parts_key("psychology", "profile", ("user", secret + ":" * 400))
    for key in (encoded, text_key(f"celery:x:id:{long}"), parts_key("celery", "x", suffix="☃" * 400 + secret)):
        problem = refused_everywhere(single, key, secret)
        assert (problem.reason, problem.fields) == ("KEY_INVALID", ("key",))
        assert "1..512 bytes" in problem.message


@pytest.mark.parametrize("value", ["v", ""], ids=["with a value", "without one"])
@pytest.mark.parametrize("bad", ["A", "a:b", "{a}", "\n", "", "x" * 65_536], ids=lambda text: repr(text[:5]))
def test_a_name_of_an_identifier_that_is_none(single: Stand, secret: str, bad: str, value: str) -> None:
    shout = secret.upper()
    problem = refused_everywhere(single, parts_key("celery", "own", (bad and bad + shout, value)), shout)
    assert (problem.reason, problem.fields) == ("IDENTIFIER_INVALID", ("key.parts.identifiers",))


def test_hostile_values_are_values(single: Stand, secret: str) -> None:
    """Each gets a key of its own, and nothing of it reaches Redis unencoded."""
    caller, redis = single.caller, single.redis()
    values = [STATED + secret, *(secret + stated for stated in STATED), secret, f"{secret}:user", "..", "-1", "None"]
    before = set(redis.keys())
    for index, value in enumerate(values):
        key = parts_key("celery", "own", ("id", value), suffix=secret)
        caller.call("Set", pb.SetRequest(key=key, value=f"{index}".encode(), ttl_ms=20_000))
    keys = [parts_key("celery", "own", ("id", value), suffix=secret) for value in values]
    answers = caller.call("BatchGet", pb.BatchGetRequest(keys=keys)).results
    assert [answer.hit.value for answer in answers] == [f"{index}".encode() for index in range(len(values))]
    made = [name for name in set(redis.keys()) - before if secret.encode() in name]
    assert len(made) == len(values)
    for stored in made:
        assert stored.startswith(b"suite:celery:own:id:")
        assert stored.count(b":") == 5
        assert not set(stored) & set(b"*{}[]?\\ \n\r\t\0\x7f")


def test_not_a_key_at_all(single: Stand, secret: str) -> None:
    problem = refused_everywhere(single, keys_pb2.Key(), secret)
    assert (problem.reason, problem.fields) == ("REQUEST_INVALID", ("key",))


@pytest.mark.parametrize("raw", [b"\xff\xfe\xfd", b"\xed\xa0\x80", b"\xc0\x80a", b"\xf5\x80\x80"], ids=repr)
@pytest.mark.parametrize("form", ["text", "value", "domain"])
def test_text_that_is_not_utf8(single: Stand, secret: str, raw: bytes, form: str) -> None:
    """Lone surrogates, overlong forms: refused before anything looks at them."""
    mark = "@@@"
    key = {
        "text": text_key(f"analytics:x:user:{secret}{mark}"),
        "value": parts_key("psychology", "profile", ("user", secret + mark)),
        "domain": parts_key(mark, "profile", ("user", secret)),
    }[form]
    batch_get = ("BatchGet", pb.BatchGetRequest(keys=[text_key("maintenance:system_health"), key]))
    for rpc, request in [*requests_for(key), batch_get]:
        data = request.SerializeToString().replace(mark.encode(), raw)
        problem = single.caller.refused(rpc, data)
        assert (problem.code, problem.reason) == ("INVALID_ARGUMENT", "REQUEST_MALFORMED"), rpc
        assert secret.encode() not in problem.everything
