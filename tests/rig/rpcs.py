"""Rpcs by their messages over any transport of the client, which has leaner forms of gets and sets."""

from __future__ import annotations

from typing import Any

from coherd._rpc.frames import SetOptions
from coherd._rpc.methods import BATCH_GET, BATCH_SET, GET, METHODS, SET, KeyRead, KeysRead, ValueSet, ValuesSet
from coherd._rpc.protocol import Transport
from coherd.errors import CacheError
from coherd.results import SetOutcome, SetResult
from coherd.v1 import cache_service_pb2 as pb

_OUTCOMES = {
    SetOutcome.STORED: pb.SET_OUTCOME_STORED,
    SetOutcome.PRESENT: pb.SET_OUTCOME_PRESENT,
    SetOutcome.OLDER_VERSION: pb.SET_OUTCOME_OLDER_VERSION,
}


async def call(transport: Transport, rpc: str, request: Any, timeout_ms: int) -> Any:
    """The answer of an rpc, as its message.

    Raises:
        CacheError: it failed.
    """
    if rpc == GET.rpc:
        return await transport.call(GET, KeyRead(request.key.text, request.accept_stale, whole=True), timeout_ms)
    if rpc == SET.rpc:
        return _set(await transport.call(SET, _value(request), timeout_ms))
    if rpc == BATCH_GET.rpc:
        keys = KeysRead([key.text for key in request.keys], request.accept_stale)
        response = pb.BatchGetResponse()
        for got in await transport.call(BATCH_GET, keys, timeout_ms):
            if isinstance(got, bytes):
                response.results.add(hit=pb.Hit(value=got))
            elif isinstance(got, CacheError):
                response.results.add(error=_error(got))
            elif got.HasField("hit"):
                response.results.add(hit=got.hit)
            else:
                response.results.add(miss=got.miss)
        return response
    if rpc == BATCH_SET.rpc:
        values = [_value(item) for item in request.items]
        answers = pb.BatchSetResponse()
        for done in await transport.call(BATCH_SET, _together(values), timeout_ms):
            if isinstance(done, CacheError):
                answers.results.add(error=_error(done))
            else:
                answers.results.add(set=_set(done))
        return answers
    return await transport.call(METHODS[rpc], request, timeout_ms)


def _value(request: pb.SetRequest) -> ValueSet:
    options = SetOptions(
        request.ttl_ms if request.HasField("ttl_ms") else None,
        dict(request.extra_tags),
        request.only_if_absent,
        request.negative,
    )
    return ValueSet(request.key.text, request.value, options, request.version if request.HasField("version") else None)


def _together(values: list[ValueSet]) -> Any:
    [options] = {repr(one.options): one.options for one in values}.values()
    assert not any(one.version for one in values)
    return ValuesSet([one.key for one in values], [one.value for one in values], options)


def _set(result: SetResult) -> pb.SetResponse:
    return pb.SetResponse(outcome=_OUTCOMES[result.outcome], ttl_ms=result.ttl_ms)


def _error(error: CacheError) -> pb.ItemError:
    return pb.ItemError(reason=error.reason, message=str(error), field=error.field)  # type: ignore[arg-type]
