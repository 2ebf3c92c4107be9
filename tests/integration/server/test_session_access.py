"""Who may open a session, and who may do what on it: checked for every operation (docs/operate/security.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import session_pb2 as session_pb
from coherd_server.rpc.sessions import MOST_HITS
from rig.calls import Caller, reason_in, text_key
from rig.raw_session import RawSession, refused
from rig.server import CoherdServer
from rig.vault import vault_server, vault_token

KEY = text_key("vault:item:user:s3cretuser")
OPEN = text_key("celery:own:id:1")
SENSITIVE = text_key("psychology:profile:user:s3cretuser")
TOKEN = b"0123456789abcdef"
REQUESTS: dict[str, list[tuple[str, Any]]] = {
    "read": [("get", pb.GetRequest(key=KEY))],
    "write": [
        ("set", pb.SetRequest(key=KEY, value=b"v")),
        ("delete", pb.DeleteRequest(key=KEY)),
        ("touch", pb.TouchRequest(key=KEY)),
        ("fill", pb.FillRequest(set=pb.SetRequest(key=KEY), token=TOKEN, grant=TOKEN[:8])),
    ],
    "read and write": [("lease", pb.LeaseRequest(key=KEY, token=TOKEN, lease_ms=1_000))],
    "invalidate": [("invalidate", pb.InvalidateRequest(selectors=[{"domain": {"domain": "vault"}}]))],
}
MAY = {
    "reader": {"read"},
    "writer": {"write"},
    "janitor": {"invalidate"},
    "admin": {"read", "write", "read and write", "invalidate"},
    "stranger": set[str](),
    None: set[str](),
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoherdServer]:
    """Serving a reserved domain beside the built-in ones, with tokens."""
    with vault_server(tmp_path_factory.mktemp("access")) as server:
        yield server


@pytest.mark.parametrize("who", MAY, ids=str)
async def test_every_operation_of_a_frame_is_checked(guarded: CoherdServer, who: str | None) -> None:
    async with RawSession(guarded.target, token=vault_token(who)) as session:
        for _ in range(2):  # what was permitted once is no precedent for anything else
            frame = [
                (action, session.operation(**{kind: request}))
                for action, all_ in REQUESTS.items()
                for kind, request in all_
            ]
            beside = session.get(OPEN.text)
            results = await session.ask(beside, *(one for _, one in frame))
            assert results[0].HasField("get"), "its neighbours are done all the same"
            for (action, operation), result in zip(frame, results[1:], strict=True):
                denied = result.HasField("error")
                assert denied == (action not in MAY[who]), operation
                if denied:
                    assert reason_in(result) == ("PERMISSION_DENIED" if who else "UNAUTHENTICATED")
                    assert b"s3cret" not in result.message.SerializeToString()


async def test_every_key_of_a_record_is_checked(guarded: CoherdServer) -> None:
    async with RawSession(guarded.target, token=vault_token("reader")) as session:
        keys = (KEY.text, OPEN.text, KEY.text)
        results = await session.ask(*map(session.get, keys), *map(session.set, keys))
        assert all(one.HasField("get") for one in results[:3])
        assert [reason_in(results[at]) for at in (3, 5)] == ["PERMISSION_DENIED"] * 2
        assert results[4].HasField("set")


async def test_sensitive_domains_refuse_anonymous_callers(guarded: CoherdServer) -> None:
    async with RawSession(guarded.target) as session:
        closed, open_ = await session.ask(session.operation(get=pb.GetRequest(key=SENSITIVE)), session.get(OPEN.text))
        assert reason_in(closed) == "UNAUTHENTICATED"
        assert open_.HasField("get")
    async with RawSession(guarded.target, token=vault_token("stranger")) as session:
        [result] = await session.ask(session.operation(get=pb.GetRequest(key=SENSITIVE)))
        assert result.HasField("get")


async def test_a_wrong_token_opens_nothing(guarded: CoherdServer) -> None:
    problem = await refused(guarded.target, token="wrong")
    assert (problem.code, problem.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")


async def test_hits_are_counted_only_of_domains_the_client_may_read(guarded: CoherdServer) -> None:
    async def report(who: str, hits: dict[str, int]) -> None:
        async with RawSession(guarded.target, token=vault_token(who), near_cache=True) as session:
            await session.say(session_pb.SessionRequest(heartbeat=session_pb.Heartbeat(near_cache_hits=hits)))
            await session.ask(session.get(OPEN.text))

    await report("writer", {"vault": 1_000, "nowhere": 5, "content": 7})
    await report("admin", {"vault": 3, "analytics": 2**64 - 1})
    with Caller(guarded.target, token=vault_token("admin")) as caller:
        request = pb.MetricsRequest(domains=["vault", "content", "analytics"])
        vault, content, analytics = caller.call("Metrics", request).domains
        assert (vault.near_cache_hits, content.near_cache_hits) == (3, 7)
        assert analytics.near_cache_hits == MOST_HITS, "more than this would spoil the counters"
