"""The edge of every unary rpc (`coherd_server.rpc.endpoint`), on a real gRPC server: nothing leaks through it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import grpc
import pytest
from structlog.testing import capture_logs

from coherd.contract.reasons import REASONS, Refusal, Retry, reason_name
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.failure import Failure
from coherd_server.rpc import endpoint as endpoints
from coherd_server.rpc.endpoint import Call, Endpoint, Handlers
from coherd_server.rpc.errors import Failed
from coherd_server.rpc.incidents import MOST_INCIDENTS, Incidents
from coherd_server.rpc.principals import Principals, token_digest
from rig.calls import Problem, problem_in

SECRET = "s3cret-user-value"
PATH = "/test.Service/Method"

Method = Callable[[pb.GetRequest, Call], Awaitable[Any]]


class Face(NamedTuple):
    """One method behind an endpoint, and a way to call it."""

    endpoint: Endpoint
    call: grpc.aio.UnaryUnaryMultiCallable

    async def problem(self, data: bytes = b"", **options: Any) -> Problem:
        """The problem of a call that must fail."""
        with pytest.raises(grpc.RpcError) as caught:
            await self.call(data, timeout=60, **options)
        return problem_in(caught.value)


@asynccontextmanager
async def serving(
    method: Method, *, principals: Principals | None = None, max_in_flight: int = 10
) -> AsyncIterator[Face]:
    """Serve one method."""
    endpoint = Endpoint(principals or Principals({}), max_in_flight=max_in_flight)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handlers({PATH: endpoint.unary(pb.GetRequest, method, reads_only=True)}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Face(endpoint, channel.unary_unary(PATH))
    finally:
        await server.stop(0)


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    """What is logged."""
    with capture_logs() as entries:
        yield entries


class Unprintable(Exception):
    """An exception that cannot even be turned into text."""

    def __str__(self) -> str:
        raise RuntimeError(SECRET)


def nested() -> Exception:
    """An exception with another as cause, both holding the secret."""
    try:
        raise KeyError(SECRET)
    except KeyError as error:
        return RuntimeError(f"while handling {SECRET}").with_traceback(error.__traceback__)


@pytest.mark.parametrize(
    "error",
    [
        ValueError(f"cannot use {SECRET}"),
        KeyError(SECRET),
        UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET),
        AssertionError(SECRET),
        RecursionError(SECRET),
        MemoryError(SECRET),
        grpc.RpcError(SECRET),
        nested(),
        Unprintable(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_defect_is_an_incident(error: Exception, logs: list[Any], capfd: pytest.CaptureFixture[str]) -> None:
    async def broken(request: pb.GetRequest, call: Call) -> pb.GetResponse:
        local = SECRET  # noqa: F841 - frames hold values
        raise error

    async with serving(broken) as face:
        problem = await face.problem(pb.GetRequest().SerializeToString())
        await asyncio.wait_for(face.endpoint.drain(), 60)  # the call counts as ended
    assert (problem.code, problem.reason, problem.domain) == ("INTERNAL", "INTERNAL", "coherd")
    incident = re.search(r"incident ([0-9a-f]{8})", problem.message)
    assert incident is not None
    [entry] = logs
    assert (entry["incident"], entry["error"], entry["log_level"]) == (incident[1], type(error).__name__, "error")
    assert any("test_endpoint.py" in frame for frame in entry["frames"])
    assert SECRET.encode() not in problem.everything
    assert SECRET not in repr(logs)
    assert SECRET not in "".join(capfd.readouterr())


async def test_an_answer_that_cannot_be_sent_is_an_incident(logs: list[Any]) -> None:
    async def odd(request: pb.GetRequest, call: Call) -> Any:
        return SECRET

    async with serving(odd) as face:
        problem = await face.problem()
    assert problem.code == "INTERNAL"
    assert SECRET.encode() not in problem.everything
    assert SECRET not in repr(logs)


async def test_a_defect_that_strikes_again_is_one_incident(logs: list[Any]) -> None:
    """Told once, and later with how often: callers in a loop must not fill the log."""

    async def broken(request: pb.GetRequest, call: Call) -> pb.GetResponse:
        raise ArithmeticError(SECRET)

    async with serving(broken) as face:
        said = {(await face.problem(pb.GetRequest().SerializeToString())).message for _ in range(20)}
    assert len(said) == 1
    [entry] = logs
    assert entry["incident"] in said.pop()


def test_incidents_are_told_apart_and_forgotten() -> None:
    incidents = Incidents(lambda: 0.0)
    with capture_logs() as lines:
        for number in range(MOST_INCIDENTS + 1):
            incidents.note(type(f"Error{number}", (Exception,), {})())
        incidents.note(type("Error0", (Exception,), {})())
    assert len({line["incident"] for line in lines}) == MOST_INCIDENTS + 2


async def test_bytes_that_are_no_request(logs: list[Any]) -> None:
    async def never(request: pb.GetRequest, call: Call) -> pb.GetResponse:
        raise AssertionError("not reached")

    async with serving(never) as face:
        problem = await face.problem(b"\xff" + SECRET.encode())
    assert (problem.code, problem.reason) == ("INVALID_ARGUMENT", "REQUEST_MALFORMED")
    assert problem.message == "the request is not a valid coherd.v1.GetRequest"
    assert SECRET.encode() not in problem.everything
    assert not logs


async def test_a_method_may_end_its_call_itself(logs: list[Any]) -> None:
    async def ends(request: pb.GetRequest, call: Call) -> pb.GetResponse:
        await call.context.abort(grpc.StatusCode.DATA_LOSS, "said by the method")
        raise AssertionError("not reached")

    async with serving(ends) as face:
        problem = await face.problem()
    assert (problem.code, problem.message, problem.reason) == ("DATA_LOSS", "said by the method", "")
    assert not logs


@pytest.mark.parametrize("reason", REASONS, ids=reason_name)
async def test_every_reason_travels_as_the_table_says(reason: int, logs: list[Any]) -> None:
    rule = REASONS[reason]

    async def fails(request: pb.GetRequest, call: Call) -> pb.GetResponse:
        if request.accept_stale:
            raise Refusal(reason, "the text", field="key")
        raise Failed(Failure(reason, "the text"))

    async with serving(fails) as face:
        problem = await face.problem()
        refusal = await face.problem(pb.GetRequest(accept_stale=True).SerializeToString())
    retry_ms = rule.retry_after_ms or None
    plain = (rule.code, "the text", reason_name(reason), "coherd")
    assert problem[:6] == (*plain, (), retry_ms)
    assert refusal[:6] == (*plain, ("key",), retry_ms)
    assert (retry_ms is not None) == (rule.retry is Retry.SAFE)
    assert not logs


def test_the_table_has_every_reason() -> None:
    assert set(REASONS) == set(ErrorReason.values()) - {ErrorReason.ERROR_REASON_UNSPECIFIED}


class Gate:
    """A method that holds its calls until `release` is set."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.inside = 0
        self._changed = asyncio.Condition()

    async def method(self, request: pb.GetRequest, call: Call) -> pb.GetResponse:
        await self._count(1)
        try:
            await self.release.wait()
        finally:
            await self._count(-1)
        return pb.GetResponse()

    async def _count(self, change: int) -> None:
        async with self._changed:
            self.inside += change
            self._changed.notify_all()

    async def holds(self, calls: int) -> None:
        """Wait until that many are inside."""
        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(lambda: self.inside == calls)


async def test_calls_over_the_limit_are_refused_and_the_others_answered() -> None:
    gate = Gate()
    async with serving(gate.method, max_in_flight=3) as face:
        held = [asyncio.ensure_future(face.call(b"", timeout=60)) for _ in range(3)]
        await gate.holds(3)
        problem = await face.problem()
        assert (problem.code, problem.reason, problem.retry_ms) == ("RESOURCE_EXHAUSTED", "OVERLOADED", 100)
        held[0].cancel()
        await gate.holds(2)
        again = asyncio.ensure_future(face.call(b"", timeout=60))
        await gate.holds(3)  # a cancelled call gives its place back
        gate.release.set()
        assert await asyncio.gather(*held[1:], again) == [b""] * 3


async def test_draining_refuses_new_calls_and_waits_for_running_ones() -> None:
    gate = Gate()
    async with serving(gate.method) as face:
        running = asyncio.ensure_future(face.call(b"", timeout=60))
        await gate.holds(1)
        drained = asyncio.ensure_future(face.endpoint.drain())
        await asyncio.sleep(0)
        problem = await face.problem()
        assert (problem.code, problem.reason, problem.retry_ms) == ("UNAVAILABLE", "DRAINING", 50)
        assert not drained.done()
        gate.release.set()
        assert await running == b""
        await asyncio.wait_for(drained, 60)


async def test_the_server_answers_before_the_callers_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0.5 < endpoints._DEADLINE_SHARE < 1
    monkeypatch.setattr(endpoints, "_DEADLINE_SHARE", 0.01)  # its answer has time to arrive, however slow the machine

    async def hangs(request: pb.GetRequest, call: Call) -> pb.GetResponse:
        await asyncio.sleep(600)
        raise AssertionError("not reached")

    async with serving(hangs) as face:
        with pytest.raises(grpc.RpcError) as caught:
            await face.call(b"", timeout=60)
        problem = problem_in(caught.value)
    assert (problem.code, problem.reason, problem.retry_ms) == ("UNAVAILABLE", "STORE_UNAVAILABLE", 200)


async def test_who_calls() -> None:
    async def who(request: pb.GetRequest, call: Call) -> bytes:
        return str(call.principal.name).encode()

    tokens = {"alice": token_digest("a-token"), "bob": token_digest("b-token").upper()}
    async with serving(who, principals=Principals(tokens)) as face:
        shown = {"Bearer a-token": b"alice", "bearer b-token": b"bob", "BEARER  a-token ": b"alice"}
        for value, name in shown.items():
            assert await face.call(b"", metadata=(("authorization", value),)) == name
        assert await face.call(b"") == b"None"
        for bad in (f"Bearer {SECRET}", "a-token", "Basic a-token", "Bearer", "", "Bearer  "):
            problem = await face.problem(metadata=(("authorization", bad),))
            assert (problem.code, problem.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
            assert SECRET.encode() not in problem.everything
    async with serving(who) as face:
        assert await face.call(b"", metadata=(("authorization", "Bearer whatever"),)) == b"None"
