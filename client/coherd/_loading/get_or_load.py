"""From a verb that loads to the loads of its event loop, and back to values."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from coherd._calls import messages
from coherd._calls.arguments import checked_answer, checked_tags
from coherd._calls.batches import Part
from coherd._loading.decide import AWAY
from coherd._loading.flight import Call, until_s
from coherd._loading.flights import Flights
from coherd._loading.leases import Payload
from coherd._loading.load import Source
from coherd._loading.loader import call_loader, is_coroutine_function
from coherd._loading.many import ManyCall, ManyLoads
from coherd._loading.policy import NOTHING, LoadPolicy, Terms
from coherd._loading.threads import Place
from coherd.errors import NotPermitted, UndecodableValue
from coherd.key import Key
from coherd.v1 import cache_service_pb2 as pb


def terms_of(
    policy: LoadPolicy,
    ttl: timedelta | None,
    nothing_ttl: timedelta | None,
    tags: Mapping[str, str] | None,
    timeout_ms: int,
) -> Terms:
    """What the requests of a call say.

    Raises:
        TypeError: a TTL is no timedelta, or tags are no text by name.
        Refusal: a tag is not valid Unicode.
    """
    return Terms(
        lease_ms=policy.lease_ms,
        tags=None if tags is None else checked_tags(tags),
        ttl_ms=messages.ttl_ms(ttl),
        nothing_ttl_ms=messages.ttl_ms(nothing_ttl, "nothing_ttl"),
        timeout_ms=timeout_ms if policy.total_timeout_ms is None else min(timeout_ms, policy.total_timeout_ms),
        has_fallback=policy.on_unavailable == "load",
    )


async def load_one(
    flights: Flights, key: Key[Any], loader: Callable[[Any], Any], terms: Terms, policy: LoadPolicy
) -> Any:
    """The value of one key, cached or loaded, as `CacheClient.get_or_load` answers it.

    Args:
        flights: of the running event loop.
        key: of the item.
        loader: called with the key.
        terms: what the requests say.
        policy: how it is loaded.
    """
    call = _call_of(key, loader, terms, policy)
    answer = await flights.get_or_load(call)
    try:
        return _value(key, answer)
    except UndecodableValue as error:
        if policy.on_undecodable == "raise":
            raise
        return await _load_anew(flights, call, error)


def _call_of(key: Key[Any], loader: Callable[[Any], Any], terms: Terms, policy: LoadPolicy) -> Call:
    async def source(place: Place | None) -> Mapping[Key[Any], Payload]:
        return {key: _payload(key, await call_loader(loader, key, place))}

    plain = not is_coroutine_function(loader)
    return Call(key, source, plain, terms, policy, contextvars.copy_context(), until_s(policy))


async def _load_anew(flights: Flights, call: Call, error: UndecodableValue) -> Any:
    """The value of a key whose stored value did not decode: it is deleted, which makes it a miss for everybody.

    Where it cannot be deleted, or somebody stores another that does not decode, the call loads for itself.
    """
    key = call.key
    try:
        await flights.remove_undecodable(key, error, call.terms.timeout_ms)
        return _value(key, await flights.get_or_load(call))
    except (NotPermitted, UndecodableValue):
        pass
    except AWAY:
        if call.policy.on_unavailable == "raise":
            raise
    return _value(key, await flights.load_directly(call, error))


async def load_many(
    flights: Flights, keys: Sequence[Key[Any]], loader: Callable[[list[Any]], Any], terms: Terms, policy: LoadPolicy
) -> Part:
    """The values of many keys, cached or loaded, in the order of the keys, and the errors of those that failed.

    Args:
        flights: of the running event loop.
        keys: each once.
        loader: called with a list of keys; returns a mapping.
        terms: what the requests say.
        policy: how they are loaded.
    """

    def source_of(some: Sequence[Key[Any]]) -> Source:
        async def source(place: Place | None) -> Mapping[Key[Any], Payload]:
            loaded = checked_answer(await call_loader(loader, list(some), place), some)
            return {key: _payload(key, loaded.get(key, NOTHING)) for key in some}

        return source

    plain = not is_coroutine_function(loader)
    call = ManyCall(source_of, plain, terms, policy, contextvars.copy_context(), until_s(policy))
    part = await ManyLoads(flights, call).run(keys)
    decoded = Part({}, part.errors)
    undecodable: dict[Key[Any], UndecodableValue] = {}
    for key, value in part.results.items():
        try:
            decoded.results[key] = _value(key, value)
        except UndecodableValue as error:
            undecodable[key] = error
    if undecodable and policy.on_undecodable == "load":
        await _load_many_anew(flights, undecodable, loader, call, decoded)
    else:
        decoded.errors.update(undecodable)
    return Part({key: decoded.results[key] for key in keys if key in decoded.results}, decoded.errors)


async def _load_many_anew(
    flights: Flights,
    undecodable: Mapping[Key[Any], UndecodableValue],
    loader: Callable[[list[Any]], Any],
    call: ManyCall,
    part: Part,
) -> None:
    """Adds what `_load_anew` would answer for many keys, loaded together."""
    await asyncio.gather(*(_removed(flights, key, error, call.terms) for key, error in undecodable.items()))
    again = await load_many(
        flights, list(undecodable), loader, call.terms, replace(call.policy, on_undecodable="raise")
    )
    part.results.update(again.results)
    for key, error in again.errors.items():
        if not isinstance(error, UndecodableValue):
            part.errors[key] = error
        else:
            part.results[key] = _value(key, await flights.load_directly(call.of_key(key), error))


async def _removed(flights: Flights, key: Key[Any], error: UndecodableValue, terms: Terms) -> None:
    with contextlib.suppress(NotPermitted, *AWAY):  # then it is found again, and loaded around
        await flights.remove_undecodable(key, error, terms.timeout_ms)


def _payload(key: Key[Any], value: object) -> Payload:
    return Payload(None if value is NOTHING else messages.encoded(key, value))


def _value(key: Key[Any], outcome: pb.Hit | Payload) -> Any:
    if isinstance(outcome, Payload):
        return None if outcome.value is None else key.codec.decode(outcome.value)
    return messages.decoded(key, outcome.value, outcome.negative)
