"""A cluster without one of its primaries: what fails is named, and everything else is served."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import grpc
import pytest

from coherd.catalog.load import builtin_catalog
from coherd.v1 import cache_service_pb2 as pb
from rig.calls import Caller
from rig.cluster import Cluster, cluster
from rig.doctor import doctor
from rig.process import Node
from rig.server import CoherdServer
from rig.waiting import wait_until

DOMAINS = builtin_catalog().domains
PATIENT = ("--redis-timeout", "5s", "--log-format", "json")
"""Who is killed refuses at once; who is only slow is not to be taken for lost."""


@pytest.fixture(scope="module")
def bare() -> Iterator[Cluster]:
    """Three primaries that nobody replaces."""
    with cluster(3, 0) as started:
        yield started


@functools.cache
def owner_of(own: Cluster, name: str) -> Node:
    """Slots do not move here."""
    return own.owner_of(name)


def owner_of_epoch(own: Cluster, tag: str) -> Node:
    return owner_of(own, f"coherd:epoch:{tag}")


def lost_with(own: Cluster, victim: Node) -> tuple[set[str], set[str]]:
    """Domains whose epochs are on a node, and resources of other domains."""
    domains = {name for name in DOMAINS if owner_of_epoch(own, name) is victim}
    resources = {
        f"{domain.name}:{resource}"
        for domain in DOMAINS.values()
        for resource in domain.resources
        if domain.name not in domains and owner_of_epoch(own, f"{domain.name}:{resource}") is victim
    }
    return domains, resources


def key_beside(own: Cluster, victim: Node, lost: set[str]) -> str:
    """A key that needs nothing of a node: neither it nor any of its epochs is there."""
    kinds = [
        ("content", "topics", "user"),
        ("session", "data", "id"),
        ("celery", "own", "id"),
        ("crisis", "alerts", "id"),
    ]
    for domain, resource, identifier in kinds:
        needs = [domain, f"{domain}:{resource}"]
        if domain in lost or any(owner_of_epoch(own, tag) is victim for tag in needs):
            continue
        for number in range(200):
            key = f"{domain}:{resource}:{identifier}:{number}"
            tag = f"{domain}/{identifier}:{number}"
            if victim not in (owner_of(own, key), owner_of_epoch(own, tag)):
                return key
    raise AssertionError("every kind is lost")


def is_set(caller: Caller, key: str) -> bool:
    with contextlib.suppress(grpc.RpcError):
        return caller.set(key) == "STORED"
    return False


def test_what_a_lost_primary_takes_with_it_is_named(bare: Cluster, request: pytest.FixtureRequest) -> None:
    victim = max(bare.nodes, key=lambda node: len(lost_with(bare, node)[0]))
    domains, resources = lost_with(bare, victim)
    assert domains
    key = key_beside(bare, victim, domains)
    address = f"127.0.0.1:{victim.port}"
    with CoherdServer("--redis", bare.url, *PATIENT) as server, Caller(server.target) as caller:
        assert {caller.health(domain.service) for domain in DOMAINS.values()} == {"SERVING"}
        victim.kill()
        request.addfinalizer(victim.restart)
        for domain in DOMAINS.values():
            is_lost = domain.name in domains
            status = "NOT_SERVING" if is_lost else "SERVING"
            wait_until(f"{domain.name} is {status}", lambda: caller.health(domain.service) == status)  # noqa: B023
        assert caller.health() == caller.health("coherd.v1.CacheService") == "SERVING"
        assert is_set(caller, key)
        assert caller.value(key) == b"v"
        metrics = caller.call("Metrics", pb.MetricsRequest()).domains
        assert {one.domain for one in metrics if one.unavailable} == domains
        victim_counters = {name for name in DOMAINS if owner_of(bare, f"coherd:counters:{name}") is victim}
        assert {one.domain for one in metrics if one.uncounted} == victim_counters
        named = {f"{one.domain}:{r.resource}" for one in metrics for r in one.resources if r.unavailable}
        assert {name for name in named if name.split(":")[0] not in domains} == resources
        lines = [line for line in server.errors().splitlines() if "a part of the store does not answer" in line]
        assert lines
        for line in lines:  # while it lasts it is told again, a few times a minute
            assert address in line
            missing = {name for name in domains | resources if f'"{name}"' not in line}
            assert not missing
        code, said = doctor(bare.url)
        assert code == 1
        assert f"{address} " in said
        assert "a primary does not answer: connection refused" in said
        assert f"domains {', '.join(name for name in DOMAINS if name in domains)};" in said

        with CoherdServer("--redis", bare.url, *PATIENT) as beside, Caller(beside.target) as other:
            assert other.health() == "SERVING"
            assert other.value(key) == b"v"
            lost_service = DOMAINS[min(domains)].service
            wait_until("it knows what is lost", lambda: other.health(lost_service) == "NOT_SERVING")
            wait_until("its start-up check says so", lambda: '"verdict": "lost"' in beside.errors())
            victim.restart()
            for one in (other, caller):
                wait_until("all is served again", lambda: one.health(lost_service) == "SERVING")  # noqa: B023
        wait_until("it is told", lambda: "all of the store answers again" in server.errors())
        assert not any(one.unavailable or one.uncounted for one in caller.call("Metrics", pb.MetricsRequest()).domains)


def test_a_cluster_that_wants_all_of_its_slots_serves_nothing_without_one(bare: Cluster) -> None:
    """Its nodes answer, and refuse: the cause is told."""
    with CoherdServer("--redis", bare.url, *PATIENT) as server, Caller(server.target) as caller:
        for node in bare.nodes:
            node.client().config_set("cluster-require-full-coverage", "yes")
        victim = bare.nodes[1]
        victim.kill()
        try:
            wait_until("nothing is served", lambda: caller.health() == "NOT_SERVING")
            problem = caller.refused("Get", pb.GetRequest(key={"text": "celery:own:id:1"}))
            assert problem.reason == "STORE_UNAVAILABLE"
            assert "(CLUSTERDOWN)" in problem.message or "connection refused" in problem.message
        finally:
            victim.restart()
            for node in bare.nodes:
                node.client().config_set("cluster-require-full-coverage", "no")
        wait_until("it serves again", lambda: is_set(caller, "celery:own:id:1"))
