"""The read method of every resource: stock stubs, every kind of identifier and value (docs/use/wire.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from coherd.domains.analytics.v1 import analytics_pb2
from coherd.domains.celery.v1 import celery_pb2
from coherd.domains.maintenance.v1 import maintenance_pb2
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1.values_pb2 import Json
from rig.calls import Caller
from rig.own_catalog import SERVICE, OwnCatalog
from rig.server import CoherdServer
from rig.stand import Stand

DAILY = "/coherd.domains.analytics.v1.AnalyticsCache/Daily"
STATS = "/coherd.domains.analytics.v1.AnalyticsCache/WritingStats"
HEALTH = "/coherd.domains.maintenance.v1.MaintenanceCache/SystemHealth"


class Own(NamedTuple):
    """A server that was only started with a catalog."""

    caller: Caller
    catalog: OwnCatalog


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    """Serving the own catalog beside the built-in one."""
    catalog = OwnCatalog(tmp_path_factory.mktemp("catalog"))
    with CoherdServer("--catalog", str(catalog.file)) as server, Caller(server.target) as caller:
        yield Own(caller, catalog)


def test_json_of_the_built_in_catalog(stand: Stand, name: str) -> None:
    caller = stand.caller
    key = analytics_pb2.DailyKey(user=f"{name}:ü", date="20250806")
    problem = caller.refused(DAILY, key)
    assert (problem.code, problem.reason, problem.domain) == ("NOT_FOUND", "NOT_CACHED", "coherd")
    assert name.encode() not in problem.everything
    text = f"analytics:daily:user:{name}%3Aü:date:20250806"
    caller.set(text, Json(text='{"words": 812}').SerializeToString())
    assert caller.call(DAILY, key, Json) == Json(text='{"words": 812}')
    caller.invalidate({"named": {"name": "user", "value": f"{name}:ü"}})
    assert caller.refused(DAILY, key).reason == "NOT_CACHED"


def test_a_key_without_identifiers(single: Stand) -> None:
    single.caller.set("maintenance:system_health", Json(text="1").SerializeToString())
    assert single.caller.call(HEALTH, maintenance_pb2.SystemHealthKey(), Json).text == "1"
    assert single.caller.call(HEALTH, b"", Json).text == "1"


def test_a_message_value(single: Stand, name: str) -> None:
    value = celery_pb2.TaskMetrics(task_name="t", runtime_ms=1.5, retries=2, finished_at=Timestamp(seconds=5))
    single.caller.set(f"celery:task_metrics:id:{name}", value.SerializeToString())
    path = "/coherd.domains.celery.v1.CeleryCache/TaskMetrics"
    found = single.caller.call(path, celery_pb2.TaskMetricsKey(id=name), celery_pb2.TaskMetrics)
    assert found == value


def test_age_and_remaining_ttl_travel_behind(single: Stand, name: str) -> None:
    single.caller.set(f"analytics:writing_stats:user:{name}:days:30d", b"", ttl_ms=60_000)
    request = analytics_pb2.WritingStatsKey(user=name, days=30).SerializeToString()
    value, call = single.caller.channel.unary_unary(STATS).with_call(request, timeout=60)
    trailing = dict(call.trailing_metadata())
    assert value == b""
    assert 0 <= int(trailing["coherd-age-ms"]) < 20_000
    assert 40_000 < int(trailing["coherd-remaining-ttl-ms"]) <= 60_000


def test_stale_and_negative_values_are_not_found(single: Stand, name: str) -> None:
    key = f"analytics:writing_stats:user:{name}:days:30d"
    request = analytics_pb2.WritingStatsKey(user=name, days=30)
    single.caller.set(key, b"", negative=True, ttl_ms=60_000)
    problem = single.caller.refused(STATS, request)
    assert (problem.code, problem.reason) == ("NOT_FOUND", "NOT_CACHED")
    assert "nothing" in problem.message
    single.caller.set(key, b"v", ttl_ms=1)
    assert single.caller.refused(STATS, request).reason == "NOT_CACHED"


def test_foreign_bytes_are_not_found(single: Stand, name: str) -> None:
    single.redis().set(f"suite:analytics:writing_stats:user:{name}:days:30d", "plain")
    assert single.caller.refused(STATS, analytics_pb2.WritingStatsKey(user=name, days=30)).reason == "NOT_CACHED"


@pytest.mark.parametrize(
    ("path", "request_", "field"),
    [
        (DAILY, analytics_pb2.DailyKey(), "user"),
        (DAILY, analytics_pb2.DailyKey(user="s3cretvalue"), "date"),
        (DAILY, analytics_pb2.DailyKey(user="s3cretvalue", date="2025-08-06"), "date"),
        (DAILY, analytics_pb2.DailyKey(user="s3cretvalue" * 6_000, date="20250806"), "user"),
    ],
    ids=["nothing", "no date", "bad date", "64 KiB"],
)
def test_bad_keys(single: Stand, path: str, request_: Any, field: str) -> None:
    problem = single.caller.refused(path, request_)
    assert (problem.code, problem.reason) == ("INVALID_ARGUMENT", "IDENTIFIER_INVALID")
    assert problem.fields == (field,)
    assert b"s3cretvalue" not in problem.everything


def test_every_typed_method_refuses_bytes_that_are_no_message(single: Stand, secret: str) -> None:
    described = single.caller.call("DescribeCatalog", b"")
    resources = [resource for domain in described.domains for resource in domain.resources]
    assert len(resources) == 21
    for resource in resources:
        problem = single.caller.refused(resource.method, b"\xff" * 11 + secret.encode())  # no number is that long
        assert (problem.code, problem.reason) == ("INVALID_ARGUMENT", "REQUEST_MALFORMED"), resource.method
        assert secret.encode() not in problem.everything
    surrogate = b"\x0a\x03\xed\xa0\x80"  # the first field is the text of half a character
    texts = [
        resource.method for resource in resources if resource.identifiers and resource.identifiers[0].type == "string"
    ]
    assert len(texts) > 15
    for method in texts:
        assert single.caller.refused(method, surrogate).reason == "REQUEST_MALFORMED", method


def test_a_field_that_a_key_does_not_have_is_of_a_newer_client(single: Stand) -> None:
    single.caller.set("maintenance:system_health", Json(text="2").SerializeToString())
    assert single.caller.call(HEALTH, b"\x0a\x03\xed\xa0\x80", Json).text == "2"


MIXED = {"who": "me", "offset": -5, "days": 30, "day": "20250806", "colour": 2, "full": True}


def test_every_kind_of_identifier(own: Own) -> None:
    report = own.catalog.message("Report")(count=7, words=["a", "b"])
    report.made_at.seconds = 9  # type: ignore[attr-defined]
    spec = own.caller.call("DescribeCatalog", pb.DescribeCatalogRequest(domains=["kinds"])).domains[0].resources[0]
    types = {identifier.name: identifier.type for identifier in spec.identifiers}
    assert types["who"] == "string"
    assert (types["offset"], types["days"], types["day"], types["full"]) == ("int64", "uint32", "date", "bool")
    key = "kinds:mixed:who:me:offset:-5:days:30d:day:20250806:colour:dark_blue:full:true"
    own.caller.set(key, report.SerializeToString())
    assert own.caller.call(f"/{SERVICE}/Mixed", own.catalog.message("MixedKey")(**MIXED), type(report)) == report
    for change in ({"offset": 5}, {"days": 31}, {"day": "20250807"}, {"colour": 1}, {"full": False}, {"who": "you"}):
        other = own.catalog.message("MixedKey")(**{**MIXED, **change})
        assert own.caller.refused(f"/{SERVICE}/Mixed", other).reason == "NOT_CACHED"
    own.caller.invalidate({"tag": {"domain": "kinds", "identifier": "who", "value": "me"}})
    assert own.caller.refused(f"/{SERVICE}/Mixed", own.catalog.message("MixedKey")(**MIXED)).reason == "NOT_CACHED"


@pytest.mark.parametrize(("change", "field"), [({"colour": 9}, "colour"), ({"day": ""}, "day"), ({"who": ""}, "who")])
def test_values_no_identifier_has(own: Own, change: dict[str, Any], field: str) -> None:
    problem = own.caller.refused(f"/{SERVICE}/Mixed", own.catalog.message("MixedKey")(**{**MIXED, **change}))
    assert (problem.code, problem.reason, problem.fields) == ("INVALID_ARGUMENT", "IDENTIFIER_INVALID", (field,))


def test_a_message_of_somebody_else_as_value(own: Own) -> None:
    own.caller.set("kinds:single", Timestamp(seconds=12, nanos=5).SerializeToString())
    assert own.caller.call(f"/{SERVICE}/Single", b"", Timestamp) == Timestamp(seconds=12, nanos=5)


def test_a_domain_that_is_not_open(own: Own) -> None:
    problem = own.caller.refused("Get", pb.GetRequest(key={"text": "kinds:undeclared:id:1"}))
    assert (problem.code, problem.reason, problem.fields) == ("INVALID_ARGUMENT", "RESOURCE_UNKNOWN", ("resource",))
    problem = own.caller.refused("Get", pb.GetRequest(key={"text": "kinds:plain:id:1:suffix"}))
    assert (problem.reason, problem.fields) == ("KEY_INVALID", ("key",))
    selector = {"resource": {"domain": "kinds", "resource": "undeclared"}}
    problem = own.caller.refused("Invalidate", pb.InvalidateRequest(selectors=[selector]))
    assert problem.reason == "RESOURCE_UNKNOWN"
