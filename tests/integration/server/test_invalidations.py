"""Each selector removes exactly what docs/use/catalog.md says: all domains, all resources, before every store."""

from __future__ import annotations

from typing import Any

import pytest

from coherd.v1 import cache_service_pb2 as pb
from rig.calls import Caller, text_key
from rig.stand import SUITE_PREFIX, Stand
from rig.waiting import wait_until

DAY, OTHER_DAY = "20250806", "20250807"

KEYS = {
    "analytics:daily": "user:{u}:date:{d}",
    "analytics:mood_trends": "user:{u}:range:30d",
    "analytics:writing_stats": "user:{u}:days:30d",
    "analytics:content_engagement": "content:{c}",
    "psychology:profile": "user:{u}",
    "psychology:content_analysis": "content:{c}",
    "psychology:insights": "user:{u}:type:emotional",
    "crisis:assessment": "hash:{u}",
    "crisis:user_risk": "user:{u}",
    "crisis:trends": "timeframe:{u}",
    "maintenance:system_health": "",
    "maintenance:component_status": "component:{u}",
    "maintenance:performance_metrics": "",
    "maintenance:cleanup_report": "date:{d}",
    "session:data": "id:{u}",
    "session:activity": "user:{u}",
    "ai_model:instance": "name:{u}:version:{c}",
    "ai_model:prompt": "hash:{u}:model:{c}",
    "content:topics": "user:{u}",
    "celery:task_metrics": "id:{u}",
    "celery:worker_status": "name:{u}",
    # undeclared resources of open domains have the domain's tags
    "psychology:own": "user:{u}:note:1",
    "maintenance:own": "date:{d}:part:{u}",
    "celery:own": "user:{u}",
}
EVERYTHING = frozenset({f"{name} {whose}" for name, tail in KEYS.items() for whose in ("mine", "other") if tail}) | {
    f"{name} mine" for name, tail in KEYS.items() if not tail
}
USER_ANALYTICS = frozenset({"analytics:daily mine", "analytics:mood_trends mine", "analytics:writing_stats mine"})
OF_USER = USER_ANALYTICS | {
    *("psychology:profile mine", "psychology:insights mine", "psychology:own mine", "crisis:user_risk mine"),
    *("session:activity mine", "session:data mine"),  # the latter by its extra tag
}
OF_CONTENT = frozenset({"psychology:content_analysis mine", "analytics:content_engagement mine"})
DATED_MAINTENANCE = frozenset(
    {f"maintenance:{name} {who}" for name in ("cleanup_report", "own") for who in ("mine", "other")}
)


def of_domain(domain: str) -> frozenset[str]:
    """All there is of a domain."""
    return frozenset(name for name in EVERYTHING if name.startswith(domain + ":"))


CASES: dict[str, tuple[dict[str, Any], frozenset[str]]] = {
    "user": ({"named": {"name": "user", "value": "{u}"}}, OF_USER),
    "content": ({"named": {"name": "content", "value": "{c}"}}, OF_CONTENT),
    "date": ({"named": {"name": "date", "value": DAY}}, frozenset({"analytics:daily mine"}) | DATED_MAINTENANCE),
    "tag in every domain": ({"tag": {"identifier": "user", "value": "{u}"}}, OF_USER | {"content:topics mine"}),
    "tag in one domain": ({"tag": {"domain": "analytics", "identifier": "user", "value": "{u}"}}, USER_ANALYTICS),
    "tag of content": ({"tag": {"domain": "content", "identifier": "user", "value": "{u}"}}, {"content:topics mine"}),
    "tag of a day": (
        {"tag": {"identifier": "date", "value": DAY}},
        {"analytics:daily mine", "maintenance:cleanup_report mine", "maintenance:own mine"},
    ),
    "any day": ({"tag": {"identifier": "date", "value": "*"}}, DATED_MAINTENANCE),
    "any day of maintenance": (
        {"tag": {"domain": "maintenance", "identifier": "date", "value": "*"}},
        DATED_MAINTENANCE,
    ),
    "resource": (
        {"resource": {"domain": "analytics", "resource": "daily"}},
        {"analytics:daily mine", "analytics:daily other"},
    ),
    "undeclared resource": (
        {"resource": {"domain": "celery", "resource": "own"}},
        {"celery:own mine", "celery:own other"},
    ),
    "resource without identifiers": (
        {"resource": {"domain": "maintenance", "resource": "system_health"}},
        {"maintenance:system_health mine"},
    ),
    **{
        f"domain {domain}": ({"domain": {"domain": domain}}, of_domain(domain))
        for domain in ("analytics", "psychology", "crisis", "maintenance", "session", "ai_model", "content", "celery")
    },
    "key": ({"key": {"text": "psychology:profile:user:{u}"}}, {"psychology:profile mine"}),
    "unknown value": ({"named": {"name": "user", "value": "nobody{u}"}}, frozenset()),
}  # type: ignore[dict-item]


def texts(name: str) -> dict[str, str]:
    """Key text of everything."""
    whose = {
        "mine": {"u": f"u{name}", "c": f"c{name}", "d": DAY},
        "other": {"u": f"other{name}", "c": f"otherc{name}", "d": OTHER_DAY},
    }
    found = {}
    for label in EVERYTHING:
        resource, who = label.split()
        tail = KEYS[resource].format(**whose[who])
        found[label] = f"{resource}:{tail}" if tail else resource
    return found


def filled(caller: Caller, name: str) -> dict[str, str]:
    """Set everything; key text by label."""
    keys = texts(name)
    items = [pb.SetRequest(key=text_key(key), value=key.encode(), ttl_ms=60_000) for key in keys.values()]
    for label, item in zip(keys, items, strict=True):
        if label.startswith("session:data"):
            item.extra_tags["user"] = ("u" if label.endswith("mine") else "other") + name
    done = caller.call("BatchSet", pb.BatchSetRequest(items=items)).results
    assert {one.set.outcome for one in done} == {pb.SET_OUTCOME_STORED}
    assert found(caller, keys) == EVERYTHING
    return keys


def found(caller: Caller, keys: dict[str, str]) -> frozenset[str]:
    """Labels of what is served; each with its own value."""
    results = caller.call("BatchGet", pb.BatchGetRequest(keys=map(text_key, keys.values()))).results
    served = set()
    for (label, key), one in zip(keys.items(), results, strict=True):
        if one.HasField("hit"):
            assert one.hit.value == key.encode()
            served.add(label)
        else:
            assert one.miss.reason in (pb.MISS_REASON_INVALIDATED, pb.MISS_REASON_ABSENT)
    return frozenset(served)


@pytest.mark.parametrize("case", CASES)
def test_removes_exactly_that(stand: Stand, name: str, case: str) -> None:
    selector, removed = CASES[case]
    kind, fields = next(iter(selector.items()))
    filled_in = {field: text.format(u=f"u{name}", c=f"c{name}") for field, text in fields.items()}
    keys = filled(stand.caller, name)
    answer = stand.caller.invalidate({kind: filled_in})
    assert found(stand.caller, keys) == EVERYTHING - removed
    assert answer.deleted_keys == (1 if case == "key" else 0)
    assert bool(answer.tags) == (case != "key")


def test_the_answer_names_the_tags(stand: Stand, name: str) -> None:
    selectors: list[Any] = [
        {"named": {"name": "user", "value": name}},
        {"named": {"name": "date", "value": DAY}},
        {"tag": {"domain": "analytics", "identifier": "user", "value": name}},
        {"key": {"text": f"celery:own:id:{name}"}},
    ]
    answer = stand.caller.invalidate(*selectors)
    expected = {f"{domain}/user:{name}" for domain in ("analytics", "psychology", "crisis", "session")}
    assert sorted(answer.tags) == sorted(expected | {f"analytics/date:{DAY}", "maintenance/date:*"})
    assert answer.deleted_keys == 0


def test_several_selectors_at_once(stand: Stand, name: str) -> None:
    keys = filled(stand.caller, name)
    user: Any = {"named": {"name": "user", "value": f"u{name}"}}
    content: Any = {"named": {"name": "content", "value": f"c{name}"}}
    stand.caller.invalidate(user, content, {"key": {"text": keys["celery:own mine"]}})
    assert found(stand.caller, keys) == EVERYTHING - OF_USER - OF_CONTENT - {"celery:own mine"}


def test_extra_tags_of_several_kinds(stand: Stand, name: str) -> None:
    caller, key = stand.caller, f"psychology:own:id:{name}"
    for identifier, value in (("user", f"ü:{name}"), ("content", f"c*{name}")):
        caller.set(key, b"v", extra_tags={"user": f"ü:{name}", "content": f"c*{name}"})
        assert dict(caller.get(key).hit.extra_tags) == {"user": f"ü:{name}", "content": f"c*{name}"}
        caller.invalidate({"named": {"name": identifier, "value": value + "x"}})
        assert caller.value(key) == b"v"
        caller.invalidate({"named": {"name": identifier, "value": value}})
        assert caller.miss(key) == "INVALIDATED"
    caller.set(key, b"v")
    caller.invalidate({"named": {"name": "user", "value": f"ü:{name}"}})
    assert caller.value(key) == b"v", "a set without extra tags has none"
    dated = f"maintenance:own:id:{name}"
    caller.set(dated, b"v", extra_tags={"date": DAY})
    caller.invalidate({"named": {"name": "date", "value": OTHER_DAY}})
    assert caller.miss(dated) == "INVALIDATED", "an extra date has the tag of any date"


def test_old_bytes_stay_dead(stand: Stand, name: str) -> None:
    """Whatever brings an entry back that was stamped before an invalidation: it is not served (P1, P4)."""
    caller, redis = stand.caller, stand.redis()
    key = f"psychology:insights:user:{name}:type:x"
    selectors: list[Any] = [
        {"named": {"name": "user", "value": name}},
        {"resource": {"domain": "psychology", "resource": "insights"}},
        {"domain": {"domain": "psychology"}},
    ]
    for selector in selectors:
        caller.set(key, b"old")
        old = redis.get(SUITE_PREFIX + key)
        caller.invalidate(selector)
        caller.set(key, b"new")
        assert caller.value(key) == b"new"
        redis.set(SUITE_PREFIX + key, old, px=60_000)
        assert caller.miss(key) == "INVALIDATED"
        assert caller.get(key, accept_stale=True).HasField("miss")


def test_invalidations_are_counted(single: Stand, name: str) -> None:
    def count() -> int:
        return int(single.caller.call("Metrics", pb.MetricsRequest(domains=["crisis"])).domains[0].invalidations)

    before = count()
    single.caller.invalidate({"named": {"name": "user", "value": name}})
    wait_until("one tag more", lambda: count() == before + 1)
