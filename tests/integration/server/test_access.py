"""Who may do what, by bearer token: every rpc, every item of a batch, every typed method (docs/operate/security.md)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from coherd.v1 import cache_service_pb2 as pb
from rig.calls import Caller, problem_in, reason_in, text_key
from rig.server import CoherdServer
from rig.vault import PRINCIPALS, vault_catalog, vault_server, vault_token

KEY = text_key("vault:item:user:s3cretuser")
OPEN_KEY = text_key("celery:own:id:1")
SENSITIVE_KEY = text_key("psychology:profile:user:s3cretuser")
USER = {"identifier": "user", "value": "u"}
TYPED = "/vault.v1.VaultCache/Item"
REQUESTS: dict[str, list[tuple[str, Any]]] = {
    "read": [
        ("Get", pb.GetRequest(key=KEY)),
        (TYPED, b"\x0a\x0as3cretuser"),
        ("Metrics", pb.MetricsRequest(domains=["vault"])),
    ],
    "write": [
        ("Set", pb.SetRequest(key=KEY, value=b"v")),
        ("Delete", pb.DeleteRequest(key=KEY)),
        ("Touch", pb.TouchRequest(key=KEY)),
    ],
    "invalidate": [
        ("Invalidate", pb.InvalidateRequest(selectors=[{"key": KEY}])),
        ("Invalidate", pb.InvalidateRequest(selectors=[{"domain": {"domain": "vault"}}])),
        ("Invalidate", pb.InvalidateRequest(selectors=[{"resource": {"domain": "vault", "resource": "item"}}])),
        ("Invalidate", pb.InvalidateRequest(selectors=[{"tag": {**USER, "domain": "vault"}}])),
        ("Invalidate", pb.InvalidateRequest(selectors=[{"tag": USER}])),
    ],
}
MAY = {
    "reader": {"read"},
    "writer": {"write"},
    "janitor": {"invalidate"},
    "admin": {"read", "write", "invalidate"},
    "stranger": set[str](),
    None: set[str](),
}


class Guarded:
    """A server with tokens, and a caller per principal."""

    def __init__(self, server: CoherdServer, stack: ExitStack) -> None:
        self.server = server
        self._callers = {
            name: stack.enter_context(Caller(server.target, token=vault_token(name))) for name in (*PRINCIPALS, None)
        }

    def __getitem__(self, name: str | None) -> Caller:
        return self._callers[name]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Serving a reserved domain beside the built-in ones."""
    with ExitStack() as stack:
        server = stack.enter_context(vault_server(tmp_path_factory.mktemp("access")))
        yield Guarded(server, stack)


def verdict(caller: Caller, rpc: str, request: Any) -> str:
    """Reason of a refusal, or empty if the call was let in."""
    try:
        caller.call(rpc, request)
    except grpc.RpcError as error:
        problem = problem_in(error)
        assert problem.domain == "coherd"
        assert b"s3cret" not in problem.everything
        assert b"token-of" not in problem.everything
        if problem.reason in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
            assert (problem.code, problem.retry_ms) == (problem.reason, None)
            return problem.reason
        assert problem.reason == "NOT_CACHED"
    return ""


@pytest.mark.parametrize("action", REQUESTS)
@pytest.mark.parametrize("who", MAY, ids=str)
def test_a_reserved_domain(guarded: Guarded, who: str | None, action: str) -> None:
    refusal = "" if action in MAY[who] else "UNAUTHENTICATED" if who is None else "PERMISSION_DENIED"
    for rpc, request in REQUESTS[action]:
        assert verdict(guarded[who], rpc, request) == refusal, (rpc, request)


@pytest.mark.parametrize("who", MAY, ids=str)
def test_every_item_of_a_batch(guarded: Guarded, who: str | None) -> None:
    guarded["admin"].call("Set", pb.SetRequest(key=KEY, value=b"s3cret"))
    guarded["admin"].call("Set", pb.SetRequest(key=OPEN_KEY, value=b"open"))
    refusal = "UNAUTHENTICATED" if who is None else "PERMISSION_DENIED"
    keys = [OPEN_KEY, KEY, OPEN_KEY]
    results = guarded[who].call("BatchGet", pb.BatchGetRequest(keys=keys)).results
    assert [result.hit.value for result in results[::2]] == [b"open"] * 2
    if "read" in MAY[who]:
        assert results[1].hit.value == b"s3cret"
    else:
        assert reason_in(results[1]) == refusal
        assert b"s3cret" not in results[1].SerializeToString()
    items = [pb.SetRequest(key=key, value=b"open") for key in keys]
    results = guarded[who].call("BatchSet", pb.BatchSetRequest(items=items)).results
    assert [result.set.outcome for result in results[::2]] == [pb.SET_OUTCOME_STORED] * 2
    if "write" not in MAY[who]:
        assert reason_in(results[1]) == refusal


def test_what_was_refused_did_not_happen(guarded: Guarded) -> None:
    admin, reader = guarded["admin"], guarded["reader"]
    admin.call("Set", pb.SetRequest(key=KEY, value=b"kept"))
    admin.call("Set", pb.SetRequest(key=OPEN_KEY, value=b"kept"))
    assert verdict(reader, "Set", pb.SetRequest(key=KEY, value=b"x")) == "PERMISSION_DENIED"
    assert verdict(reader, "Delete", pb.DeleteRequest(key=KEY)) == "PERMISSION_DENIED"
    both = [{"key": OPEN_KEY}, {"domain": {"domain": "celery"}}, {"domain": {"domain": "vault"}}]
    assert verdict(reader, "Invalidate", pb.InvalidateRequest(selectors=both)) == "PERMISSION_DENIED"
    assert admin.value(KEY.text) == b"kept"
    assert admin.value(OPEN_KEY.text) == b"kept", "a selector before the refused one did nothing"


def test_sensitive_domains_refuse_anonymous_callers(guarded: Guarded) -> None:
    named = {"named": {"name": "user", "value": "s3cretuser"}}
    requests: list[tuple[str, Any]] = [
        ("Get", pb.GetRequest(key=SENSITIVE_KEY)),
        ("Set", pb.SetRequest(key=SENSITIVE_KEY, value=b"v")),
        ("Delete", pb.DeleteRequest(key=SENSITIVE_KEY)),
        ("Touch", pb.TouchRequest(key=SENSITIVE_KEY)),
        ("Invalidate", pb.InvalidateRequest(selectors=[{"domain": {"domain": "crisis"}}])),
        ("Invalidate", pb.InvalidateRequest(selectors=[named])),
        ("/coherd.domains.psychology.v1.PsychologyCache/Profile", b"\x0a\x0as3cretuser"),
        ("/coherd.domains.session.v1.SessionCache/Data", b"\x0a\x0as3cretuser"),
        ("Metrics", pb.MetricsRequest(domains=["session"])),
    ]
    for rpc, request in requests:
        assert verdict(guarded[None], rpc, request) == "UNAUTHENTICATED", rpc
        assert verdict(guarded["stranger"], rpc, request) == "", rpc
    assert verdict(guarded[None], "Get", pb.GetRequest(key=OPEN_KEY)) == ""
    results = guarded[None].call("BatchGet", pb.BatchGetRequest(keys=[SENSITIVE_KEY, OPEN_KEY])).results
    assert reason_in(results[0]) == "UNAUTHENTICATED"
    assert not results[1].HasField("error")


def test_metrics_show_only_what_the_caller_may_read(guarded: Guarded) -> None:
    def shown(who: str | None) -> set[str]:
        return {domain.domain for domain in guarded[who].call("Metrics", pb.MetricsRequest()).domains}

    everything = shown("reader")
    assert "vault" in everything
    assert len(everything) == 9
    assert shown("stranger") == everything - {"vault"}
    assert shown(None) == everything - {"vault", "psychology", "crisis", "session"}


@pytest.mark.parametrize("token", ["wrong", "token-of-admin ", "TOKEN-OF-ADMIN", "token-of-adminx", "x" * 5_000])
def test_a_token_nobody_has(guarded: Guarded, token: str) -> None:
    """Is refused even where anonymous callers are not: whoever shows a credential means it."""
    with Caller(guarded.server.target, token=token) as caller:
        expected = "" if token.strip() == "token-of-admin" else "UNAUTHENTICATED"
        assert verdict(caller, "Get", pb.GetRequest(key=OPEN_KEY)) == expected


def test_health_and_reflection_need_no_credential(guarded: Guarded) -> None:
    assert guarded[None].health() == "SERVING"
    assert guarded[None].call("DescribeCatalog", b"").fingerprint


def test_without_credentials_configured_everybody_may(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Except where a domain reserves something: then nobody can, and is told so."""
    directory = tmp_path_factory.mktemp("plain")
    with CoherdServer("--catalog", str(vault_catalog(directory))) as server, Caller(server.target) as caller:
        assert verdict(caller, "Set", pb.SetRequest(key=SENSITIVE_KEY, value=b"v")) == ""
        for requests in REQUESTS.values():
            for rpc, request in requests:
                assert verdict(caller, rpc, request) == "UNAUTHENTICATED", rpc
