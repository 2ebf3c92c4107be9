"""Every reason of the table (protos/coherd/v1/errors.proto): which call answers it, and what cannot be answered yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from coherd.contract.reasons import REASONS, reason_name
from coherd.v1 import cache_service_pb2 as pb
from rig.calls import RPCS, Caller, Problem, problem_in, problem_of, text_key
from rig.own_catalog import OwnCatalog
from rig.process import Node
from rig.server import CoherdServer
from rig.valkey import standalone
from rig.waiting import wait_until

KEY = text_key("celery:own:id:1")
TYPED = "/coherd.domains.celery.v1.CeleryCache/TaskMetrics"
NOT_SERVED = {"Erase"}
"""Defined in the contract, not served by this version."""

SIMPLE: dict[str, tuple[str, Any]] = {
    "KEY_INVALID": ("Get", pb.GetRequest(key=text_key("no key"))),
    "DOMAIN_UNKNOWN": ("Get", pb.GetRequest(key=text_key("nowhere:x"))),
    "RESOURCE_UNKNOWN": ("Get", pb.GetRequest(key=text_key("kinds:undeclared:id:1"))),
    "IDENTIFIER_INVALID": ("Get", pb.GetRequest(key=text_key("analytics:daily:user:u"))),
    "TTL_INVALID": ("Set", pb.SetRequest(key=KEY, ttl_ms=0)),
    "TAG_INVALID": ("Set", pb.SetRequest(key=KEY, extra_tags={"user": "u"})),
    "VALUE_TOO_LARGE": ("Set", pb.SetRequest(key=KEY, value=bytes((1 << 20) + 1))),
    "SELECTOR_INVALID": ("Invalidate", pb.InvalidateRequest()),
    "REQUEST_INVALID": ("Get", pb.GetRequest()),
    "REQUEST_MALFORMED": ("Get", b"\xff"),
    "BATCH_TOO_LARGE": ("BatchGet", pb.BatchGetRequest(keys=[KEY] * 11)),
    "VERSION_INVALID": ("Set", pb.SetRequest(key=KEY, version=0)),
    "NOT_CACHED": (TYPED, b"\x0a\x04none"),
    "UNAUTHENTICATED": ("Get", pb.GetRequest(key=text_key("psychology:profile:user:u"))),
}
ELSEWHERE = {
    "PERMISSION_DENIED": "test_access.py",
    "CONTENDED": "only by races; told as the table says: tests/unit/server/test_endpoint.py",
    "ANSWER_TOO_LARGE": "by large values: test_a_batch_whose_answer_is_too_long in test_bad_requests.py",
    "INTERNAL": "only by a defect: tests/unit/server/test_endpoint.py",
    "DEADLINE_EXCEEDED": "by gRPC on the caller's side; the server answers earlier: test_store_outage.py",
}


class NarrowServer:
    """A server with narrow limits, and its store."""

    def __init__(self, server: CoherdServer, caller: Caller, node: Node) -> None:
        self.server, self.caller, self.node = server, caller, node


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NarrowServer]:
    """Batches of at most 10, at most 2 calls in flight, 4 MiB of memory, tokens."""
    directory = tmp_path_factory.mktemp("reasons")
    catalog = OwnCatalog(directory)
    config = directory / "coherd.toml"
    config.write_text(
        f'catalog = ["{catalog.file}"]\nmax_batch_items = 10\nmax_in_flight = 2\nredis_timeout = "2500ms"\n'
        f'[tokens]\nsomebody = "{"ab" * 32}"\n'
    )
    with ExitStack() as stack:
        node = stack.enter_context(standalone("--maxmemory", "4mb", "--maxmemory-policy", "noeviction"))
        server = stack.enter_context(CoherdServer("--redis", node.url, "--config", str(config)))
        yield NarrowServer(server, stack.enter_context(Caller(server.target)), node)


def check(problem: Problem, reason: str) -> None:
    """The problem is this row of the table."""
    [rule] = [rule for number, rule in REASONS.items() if reason_name(number) == reason]
    assert (problem.reason, problem.code, problem.domain) == (reason, rule.code, "coherd")
    assert problem.retry_ms == (rule.retry_after_ms or None)


@pytest.mark.parametrize("reason", SIMPLE)
def test_by_one_call(stage: NarrowServer, reason: str) -> None:
    rpc, request = SIMPLE[reason]
    check(stage.caller.refused(rpc, request), reason)


def test_foreign_value(stage: NarrowServer) -> None:
    stage.node.client().set("celery:own:id:foreign", "x")
    check(stage.caller.refused("Set", pb.SetRequest(key=text_key("celery:own:id:foreign"))), "FOREIGN_VALUE")


@pytest.mark.parametrize("rpc", sorted(NOT_SERVED))
def test_not_served_yet(stage: NarrowServer, rpc: str) -> None:
    problem = stage.caller.refused(rpc, b"")
    check(problem, "NOT_SERVED_YET")
    assert rpc in problem.message


def test_the_store_is_full(stage: NarrowServer) -> None:
    problems: list[Problem] = []
    for number in range(100):
        try:
            stage.caller.set(f"celery:own:id:full{number}", bytes(200_000))
        except grpc.RpcError as error:
            problems.append(problem_in(error))
            break
    [problem] = problems
    check(problem, "STORE_FULL")
    stage.node.client().config_set("maxmemory", "0")


def test_overloaded_then_the_store_is_away_then_unknown_outcome(stage: NarrowServer) -> None:
    """While the store stands still: calls over the limit, a read, a write."""
    stage.caller.set("celery:own:id:1")
    stage.node.pause()
    try:
        delete = stage.caller.hold("Delete", pb.DeleteRequest(key=KEY))  # first: it is sent, so it may be done
        get = stage.caller.hold("Get", pb.GetRequest(key=KEY))
        check(stage.caller.refused("Get", pb.GetRequest(key=KEY)), "OVERLOADED")
        check(problem_of(get), "STORE_UNAVAILABLE")
        check(problem_of(delete), "OUTCOME_UNKNOWN")
    finally:
        stage.node.resume()
    wait_until("it answers again", lambda: stage.caller.get(KEY.text))


def test_the_end_is_told() -> None:
    """DRAINING."""
    with (
        standalone() as node,
        CoherdServer("--redis", node.url, "--redis-timeout", "60s", "--drain-grace", "60s") as server,
        Caller(server.target) as caller,
    ):
        caller.set(KEY.text)
        node.pause()
        held = caller.hold("Get", pb.GetRequest(key=KEY))
        server.process.terminate()

        def draining() -> Problem | None:
            problem = caller.refused("Get", pb.GetRequest(key=KEY), timeout_s=1.0)
            return problem if problem.reason == "DRAINING" else None

        check(wait_until("new calls are sent away", draining), "DRAINING")
        node.resume()
        assert held.result(60).HasField("hit")


def test_no_reason_is_forgotten() -> None:
    here = {
        *("FOREIGN_VALUE", "NOT_SERVED_YET", "STORE_FULL", "OVERLOADED", "STORE_UNAVAILABLE", "OUTCOME_UNKNOWN"),
        "DRAINING",
    }
    table = {reason_name(number) for number in REASONS}
    assert set(SIMPLE) | here | set(ELSEWHERE) == table
    assert not (set(SIMPLE) | here) & set(ELSEWHERE)


def test_every_rpc_has_a_handler(stage: NarrowServer) -> None:
    """gRPC itself says UNIMPLEMENTED, without our details, to what it does not know."""
    for rpc in RPCS:
        problem = stage.caller.refused(rpc, b"\xff\xff")
        assert problem.domain == "coherd", rpc
        assert problem.reason == "REQUEST_MALFORMED", rpc
    described = stage.caller.call("DescribeCatalog", b"")
    for domain in described.domains:
        for resource in domain.resources:
            problem = stage.caller.refused(resource.method, b"\xff\xff")
            assert problem.reason == "REQUEST_MALFORMED", resource.method
