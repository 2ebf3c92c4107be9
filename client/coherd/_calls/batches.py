"""Many keys in few calls: splitting, running a bounded number of calls at once, joining the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from coherd._calls import messages
from coherd._calls.messages import NO_READ, NO_WRITE
from coherd._calls.near_hits import near_value, take_turns
from coherd._calls.time_limit import TimeLimit
from coherd._rpc.frames import SetOptions
from coherd._rpc.methods import BATCH_GET, BATCH_SET, KeysRead, ValuesSet
from coherd._rpc.protocol import MAX_CALL_ITEMS, Transport
from coherd.codec import ValueDecodeError
from coherd.errors import STRICTNESS, BatchError, CacheError, InvalidRequest, Overloaded, ServerDefect
from coherd.key import Key
from coherd.results import SetOutcome, SetResult
from coherd.v1.errors_pb2 import ErrorReason

T = TypeVar("T")
SetItems: TypeAlias = "list[tuple[Key[Any], bytes]]"
"""What one call of a set stores: each key with its payload."""

MAX_CALL_BYTES: Final = 4 * 1024 * 1024
"""Payload after which a call that stores is full; well below the 16 MiB that a server takes by default."""
MAX_CALLS_AT_ONCE: Final = 4
"""Most calls of one batch in flight."""
NEAR_KEYS: Final = 500
"""Keys of a batch that are looked up near before it is asked whether the event loop is owed a turn."""
DROPPED: Final = SetResult(SetOutcome.DROPPED)
"""Answer of a set that is not known to be stored, where the client goes on without the service."""


class Part(NamedTuple):
    """Answer of one call of a batch."""

    results: dict[Any, Any]
    """By key."""
    errors: dict[Any, CacheError]
    """Items that failed, by key."""


def split_keys(keys: Sequence[T], most: int = MAX_CALL_ITEMS) -> list[Sequence[T]]:
    """The keys of each call, in order, at most so many of one."""
    return [keys[start : start + most] for start in range(0, len(keys), most)]


def split_payloads(
    items: Iterable[tuple[Key[Any], T]], payload_of: Callable[[T], bytes], most: int = MAX_CALL_ITEMS
) -> list[list[tuple[Key[Any], T]]]:
    """The keys and requests of each call, in order, where the requests carry payloads; at most so many of one."""
    calls: list[list[tuple[Key[Any], T]]] = []
    call_bytes = 0
    for key, request in items:
        size_bytes = len(payload_of(request))
        if not calls or len(calls[-1]) >= most or call_bytes + size_bytes > MAX_CALL_BYTES:
            calls.append([])
            call_bytes = 0
        calls[-1].append((key, request))
        call_bytes += size_bytes
    return calls


async def near_part(transport: Transport, keys: Sequence[Key[Any]], shared: bool | None) -> Part:
    """What the near cache holds of these keys. Of a long batch the event loop has its turns in between.

    Args:
        transport: whose near cache.
        keys: each once.
        shared: as in `coherd._calls.near_hits.near_value`.
    """
    part = Part({}, {})
    loop = asyncio.get_running_loop()
    for start in range(0, len(keys), NEAR_KEYS):
        if transport.owes_turn():
            await take_turns()
        for key in keys[start : start + NEAR_KEYS]:
            kept = transport.lookup_near(key, loop)
            if kept is not None and isinstance(key, Key):
                try:
                    part.results[key] = near_value(key, kept, shared)
                except CacheError as error:
                    part.errors[key] = error
    return part


def joined(keys: Iterable[Key[Any]], near: Part, far: Part) -> Part:
    """What the near cache and the service answered, in the order of the keys. Those of ``far`` are in that order."""
    if not near.results and not near.errors:
        return far
    results = near.results | far.results
    return Part({key: results[key] for key in keys if key in results}, near.errors | far.errors)


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
        # Nobody is to take for unchanged what some of them may have changed.
        raise max(failures, key=lambda failure: STRICTNESS.index(failure.retry))
    whole = Part({}, {})
    for call, answer in zip(calls, answers, strict=True):
        if isinstance(answer, CacheError):
            whole.errors.update(dict.fromkeys(keys_of(call), answer))
        else:
            whole.results.update(answer.results)
            whole.errors.update(answer.errors)
    return whole


def results_of(part: Part) -> dict[Any, Any]:
    """The results of a batch.

    Raises:
        BatchError: an item failed; carries the results.
    """
    if part.errors:
        raise BatchError(part.results, part.errors)
    return part.results


async def read_many(
    transport: Transport, keys: Sequence[Key[Any]], accept_stale: bool, limit: TimeLimit, lenient: bool
) -> Part:
    """What the service has of these keys, read in as many calls as they need.

    Args:
        transport: carries the requests.
        keys: each once.
        accept_stale: also take values past their TTL.
        limit: of the whole batch.
        lenient: a key that the service does not answer counts as a miss.
    """

    async def read(call: Sequence[Key[Any]]) -> Part:
        return await read_call(transport, call, accept_stale, limit, lenient)

    calls = split_keys(keys, transport.items_at_once(len(keys), reads=True))
    if not lenient:
        return await run_calls(calls, read, iter)
    try:
        part = await run_calls(calls, read, iter)
    except NO_READ:
        return Part({}, {})
    return Part(part.results, {key: error for key, error in part.errors.items() if not isinstance(error, NO_READ)})


async def write_many(
    transport: Transport, items: SetItems, options: SetOptions, limit: TimeLimit, lenient: bool
) -> Part:
    """Stores many values in as many calls as their number and size need; answers a `SetResult` per key.

    Args:
        transport: carries the requests.
        items: each key with its payload.
        options: of all of them.
        limit: of the whole batch.
        lenient: a value that is not known to be stored counts as dropped.
    """

    async def write(call: SetItems) -> Part:
        try:
            return await write_call(transport, call, options, limit, lenient)
        except NO_WRITE:
            if lenient:
                return Part({key: DROPPED for key, _ in call}, {})
            raise

    calls = split_payloads(items, lambda payload: payload, transport.items_at_once(len(items), reads=False))
    part = await run_calls(calls, write, lambda call: (key for key, _ in call)) if calls else Part({}, {})
    if lenient:
        dropped = {key: DROPPED for key, error in part.errors.items() if isinstance(error, NO_WRITE)}
        part = Part(part.results | dropped, {k: e for k, e in part.errors.items() if k not in dropped})
    return part


_TOO_LARGE: Final = (ErrorReason.ERROR_REASON_ANSWER_TOO_LARGE, ErrorReason.ERROR_REASON_UNSPECIFIED)
"""The values are too large for one answer: for the service, or (without a reason of its own) for the connection."""


async def read_call(
    transport: Transport, keys: Sequence[Key[Any]], accept_stale: bool, limit: TimeLimit, lenient: bool
) -> Part:
    """One call of `CacheClient.get_many`. Its loops are what a key of a batch costs."""
    try:
        codecs = [key.codec for key in keys]
    except AttributeError:
        raise messages.not_a_key(next(key for key in keys if not isinstance(key, Key))) from None
    try:
        answers = await transport.call(BATCH_GET, KeysRead(keys, accept_stale), limit.left_ms(), lenient)
    except (InvalidRequest, Overloaded) as error:
        if error.reason not in _TOO_LARGE or len(keys) == 1:
            raise
        half = len(keys) // 2
        first = await read_call(transport, keys[:half], accept_stale, limit, lenient)
        second = await read_call(transport, keys[half:], accept_stale, limit, lenient)
        return Part(first.results | second.results, first.errors | second.errors)
    if len(answers) != len(keys):
        raise ServerDefect("the answer does not have one result per key")
    results: dict[Any, Any] = {}
    errors: dict[Any, CacheError] = {}
    for key, codec, answer in zip(keys, codecs, answers, strict=True):
        if type(answer) is bytes:
            try:
                results[key] = codec.decode(answer)
            except ValueDecodeError as error:
                errors[key] = messages.undecodable(key, error)
        elif isinstance(answer, CacheError):
            errors[key] = answer
        else:
            try:
                hit = messages.hit_of(answer)
                if hit is not None:
                    results[key] = messages.decoded(key, hit.value, hit.negative)
            except CacheError as error:
                errors[key] = error
    return Part(results, errors)


async def write_call(
    transport: Transport, items: SetItems, options: SetOptions, limit: TimeLimit, lenient: bool
) -> Part:
    """One call of `CacheClient.set_many`."""
    request = ValuesSet([key for key, _ in items], [payload for _, payload in items], options)
    answers = await transport.call(BATCH_SET, request, limit.left_ms(), lenient)
    if len(answers) != len(items):
        raise ServerDefect("the answer does not have one result per item")
    part = Part({}, {})
    for (key, _), answer in zip(items, answers, strict=True):
        if isinstance(answer, CacheError):
            part.errors[key] = answer
        else:
            part.results[key] = answer
    return part
