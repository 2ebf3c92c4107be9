"""Answers of the core as messages of the service."""

from __future__ import annotations

from collections.abc import Callable

from coherd.catalog.declared import DomainSpec
from coherd.v1 import cache_service_pb2 as pb
from coherd_server.core.census_note import CensusResult
from coherd_server.core.counters import COUNTERS, Quantiles
from coherd_server.core.entry import Flags
from coherd_server.core.filling import Filled
from coherd_server.core.get import Lookup
from coherd_server.core.lease_attempt import Granted, Held
from coherd_server.core.metrics import DomainReport
from coherd_server.core.set_plan import SetDone
from coherd_server.core.store import PutOutcome
from coherd_server.core.validity import State

HELD_RETRY_MS = 100
"""When a caller that was not let to load may ask again."""
SET_OUTCOMES = {
    PutOutcome.STORED: pb.SET_OUTCOME_STORED,
    PutOutcome.PRESENT: pb.SET_OUTCOME_PRESENT,
    PutOutcome.OLDER_VERSION: pb.SET_OUTCOME_OLDER_VERSION,
}
_MISSES = {
    State.ABSENT: pb.MISS_REASON_ABSENT,
    State.INVALIDATED: pb.MISS_REASON_INVALIDATED,
    State.FOREIGN: pb.MISS_REASON_FOREIGN,
    State.LATER: pb.MISS_REASON_LATER_FORMAT,
    State.EXPIRED: pb.MISS_REASON_EXPIRED,
    State.STALE: pb.MISS_REASON_EXPIRED,
}


def fill_hit(hit: pb.Hit, lookup: Lookup) -> None:
    """Write what was found into a Hit, in place: in a batch that is cheaper than a message per item."""
    validity = lookup.validity
    header = validity.header
    if header is None:
        raise AssertionError("a hit has a header")
    hit.value = validity.raw[header.size :]
    hit.age_ms = validity.age_ms
    hit.remaining_ttl_ms = validity.remaining_ms
    if validity.state is State.STALE:
        hit.stale = True
    flags = header.flags
    if flags:
        if flags & Flags.NEGATIVE:
            hit.negative = True
        if flags & Flags.VERSIONED:
            hit.version = header.version
        if flags & Flags.EXTRA_TAGS:
            hit.extra_tags.update(lookup.extra_tags)


def fill_get(result: pb.GetResponse | pb.BatchGetResult, lookup: Lookup, accept_stale: bool) -> bool:
    """Write what was found into an answer; whether it is a value."""
    state = lookup.validity.state
    if state is State.FRESH or (accept_stale and state is State.STALE):
        fill_hit(result.hit, lookup)
        return True
    result.miss.reason = _MISSES[state]
    return False


def set_response(done: SetDone) -> pb.SetResponse:
    """The answer of a set."""
    return pb.SetResponse(outcome=SET_OUTCOMES[done.outcome], ttl_ms=done.ttl_ms)


def lease_response(answer: Lookup | Granted | Held, keep_near: Callable[[pb.Hit, Lookup], None]) -> pb.LeaseResponse:
    """The answer of a lease; ``keep_near`` is told of a value in it."""
    response = pb.LeaseResponse()
    if isinstance(answer, Lookup):
        fill_hit(response.hit, answer)
        keep_near(response.hit, answer)
    elif isinstance(answer, Granted):
        response.granted.lease_ms = answer.lease_ms
        response.granted.grant = answer.grant
        if answer.stale is not None:
            fill_hit(response.granted.stale, answer.stale)
    else:
        response.held.retry_after_ms = HELD_RETRY_MS
        if answer.stale is not None:
            fill_hit(response.held.stale, answer.stale)
    return response


def fill_response(filled: Filled) -> pb.FillResponse:
    """The answer of a fill."""
    outcome = pb.FILL_OUTCOME_STORED if filled.stored else pb.FILL_OUTCOME_REJECTED
    return pb.FillResponse(outcome=outcome, ttl_ms=filled.ttl_ms)


def domain_metrics(spec: DomainSpec, report: DomainReport) -> pb.DomainMetrics:
    """One domain's counts."""
    metrics = pb.DomainMetrics(
        domain=spec.name,
        hit_ratio=report.hit_ratio,
        recommended_ttl_ms=spec.policy.ttl_ms,
        resources=[
            pb.ResourceMetrics(
                resource=resource.name,
                key_pattern=resource.key_pattern,
                recommended_ttl_ms=resource.policy.ttl_ms,
                keyspace=_keyspace(report.census, f"{spec.name}:{resource.name}"),
                unavailable=report.lost.of_resource(spec.name, resource.name),
            )
            for resource in spec.resources.values()
        ],
        keyspace=_keyspace(report.census, spec.name),
        read_latency=_latency(report.reads),
        write_latency=_latency(report.writes),
        unavailable=report.lost.of_domain(spec.name),
        uncounted=report.counts is None,
    )
    for name in COUNTERS:
        setattr(metrics, name, (report.counts or {}).get(name, 0))
    return metrics


def _keyspace(census: CensusResult | None, name: str) -> pb.KeyspaceCount | None:
    if census is None:
        return None
    count = pb.KeyspaceCount(keys=census.keys.get(name, 0), bytes=census.sizes.get(name, 0))
    count.counted_at.FromMilliseconds(census.counted_at_ms)
    return count


def _latency(quantiles: Quantiles) -> pb.LatencyQuantiles:
    return pb.LatencyQuantiles(
        count=quantiles.measured, p50_us=quantiles.p50_us, p90_us=quantiles.p90_us, p99_us=quantiles.p99_us
    )
