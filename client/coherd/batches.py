"""Many keys in few calls: splitting, running a bounded number of calls at once, joining the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from coherd import values
from coherd._rpc.methods import BATCH_GET, BATCH_SET
from coherd._rpc.protocol import Transport
from coherd.codec import ValueDecodeError
from coherd.errors import BatchError, CacheError, InvalidRequest, Overloaded, ServerDefect
from coherd.key import Key
from coherd.v1 import cache_service_pb2 as wire
from coherd.v1.errors_pb2 import ErrorReason

T = TypeVar("T")
SetItems: TypeAlias = "list[tuple[Key[Any], wire.SetRequest]]"
"""What one call of a set stores."""

MAX_CALL_ITEMS: Final = 1_000
"""Most items of one call; longer batches are split."""
MAX_CALL_BYTES: Final = 4 * 1024 * 1024
"""Payload after which a call of a set is full; well below the 16 MiB that a server takes by default."""
MAX_CALLS_AT_ONCE: Final = 4
"""Most calls of one batch in flight."""


class Part(NamedTuple):
    """Answer of one call of a batch."""

    results: dict[Any, Any]
    """By key."""
    errors: dict[Any, CacheError]
    """Items that failed, by key."""


def split_keys(keys: Sequence[T]) -> list[Sequence[T]]:
    """The keys of each call, in order."""
    return [keys[start : start + MAX_CALL_ITEMS] for start in range(0, len(keys), MAX_CALL_ITEMS)]


def split_sets(items: Iterable[tuple[Key[Any], wire.SetRequest]]) -> list[SetItems]:
    """The items of each call, in order."""
    calls: list[SetItems] = []
    payload_bytes = 0
    for key, request in items:
        size = len(request.value)
        if not calls or len(calls[-1]) >= MAX_CALL_ITEMS or payload_bytes + size > MAX_CALL_BYTES:
            calls.append([])
            payload_bytes = 0
        calls[-1].append((key, request))
        payload_bytes += size
    return calls


def near_part(transport: Transport, keys: Sequence[Key[Any]]) -> Part:
    """What the near cache holds of these keys."""
    part = Part({}, {})
    for key in keys:
        kept = transport.lookup_near(key)
        if kept is not None and isinstance(key, Key):
            try:
                part.results[key] = values.decoded_near(key, kept)
            except CacheError as error:
                part.errors[key] = error
    return part


def joined(keys: Iterable[Key[Any]], *parts: Part) -> Part:
    """Several parts as one, in the order of the keys."""
    results: dict[Any, Any] = {}
    errors: dict[Any, CacheError] = {}
    for part in parts:
        results.update(part.results)
        errors.update(part.errors)
    return Part({key: results[key] for key in keys if key in results}, errors)


async def run_calls(
    calls: Sequence[T], run: Callable[[T], Awaitable[Part]], keys_of: Callable[[T], Iterable[Any]]
) -> Part:
    """Runs all calls, even if some fail, and joins their answers in order.

    Raises:
        CacheError: every call failed as a whole, and all alike: nothing is told of single items.
    """
    if len(calls) == 1:
        return await run(calls[0])
    permits = asyncio.Semaphore(MAX_CALLS_AT_ONCE)

    async def bounded(call: T) -> Part | CacheError:
        async with permits:
            try:
                return await run(call)
            except CacheError as error:
                return error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(bounded(call)) for call in calls]
    answers = [task.result() for task in tasks]
    failures = [answer for answer in answers if isinstance(answer, CacheError)]
    if failures and len(failures) == len(answers) and len({type(failure) for failure in failures}) == 1:
        raise failures[0]
    joined = Part({}, {})
    for call, answer in zip(calls, answers, strict=True):
        if isinstance(answer, CacheError):
            joined.errors.update(dict.fromkeys(keys_of(call), answer))
        else:
            joined.results.update(answer.results)
            joined.errors.update(answer.errors)
    return joined


def results_of(part: Part) -> dict[Any, Any]:
    """The results of a batch.

    Raises:
        BatchError: an item failed; carries the results.
    """
    if part.errors:
        raise BatchError(part.results, part.errors)
    return part.results


_TOO_LARGE: Final = (ErrorReason.ERROR_REASON_ANSWER_TOO_LARGE, ErrorReason.ERROR_REASON_UNSPECIFIED)
"""The values are too large for one answer: for the service, or (without a reason of its own) for the connection."""


async def read_call(transport: Transport, keys: Sequence[Key[Any]], accept_stale: bool, timeout_ms: int) -> Part:
    """One call of `CacheClient.get_many`. Its loops are what a key of a batch costs."""
    request = wire.BatchGetRequest(accept_stale=accept_stale)
    add = request.keys.add
    try:
        codecs = [key.codec for key in keys]
    except AttributeError:
        raise values.not_a_key(next(key for key in keys if not isinstance(key, Key))) from None
    for key in keys:
        add().text = key
    try:
        answer = await transport.call(BATCH_GET, request, timeout_ms)
    except (InvalidRequest, Overloaded) as error:
        if error.reason not in _TOO_LARGE or len(keys) == 1:
            raise
        half = len(keys) // 2
        first = await read_call(transport, keys[:half], accept_stale, timeout_ms)
        second = await read_call(transport, keys[half:], accept_stale, timeout_ms)
        return Part(first.results | second.results, first.errors | second.errors)
    if len(answer.results) != len(keys):
        raise ServerDefect("the answer does not have one result per key")
    results: dict[Any, Any] = {}
    errors: dict[Any, CacheError] = {}
    for key, codec, result in zip(keys, codecs, answer.results, strict=True):
        payload = result.hit.value
        if payload:
            try:
                results[key] = codec.decode(payload)
            except ValueDecodeError as error:
                errors[key] = values.undecodable(key, error)
        # Without a payload: a remembered nothing, an empty message, a miss, or an error.
        elif result.HasField("hit"):
            try:
                results[key] = values.decoded(key, result.hit)
            except CacheError as error:
                errors[key] = error
        elif not result.HasField("miss"):
            errors[key] = values.item_error(result.error)
    return Part(results, errors)


async def write_call(transport: Transport, items: SetItems, timeout_ms: int) -> Part:
    """One call of `CacheClient.set_many`."""
    answer = await transport.call(BATCH_SET, wire.BatchSetRequest(items=[item for _, item in items]), timeout_ms)
    if len(answer.results) != len(items):
        raise ServerDefect("the answer does not have one result per item")
    part = Part({}, {})
    for (key, _), result in zip(items, answer.results, strict=True):
        if result.HasField("set"):
            part.results[key] = values.set_result(result.set)
        else:
            part.errors[key] = values.item_error(result.error)
    return part
