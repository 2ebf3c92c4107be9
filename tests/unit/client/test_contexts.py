"""Context variables of callers end with their calls, whatever the client began for them."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from typing import Any

import pytest
from fake_server import FakeServer
from loaders import KEY, Loader
from session_server import SessionServer, hit

from coherd import CacheClient
from coherd.domains import content
from rig.waiting import until


class Large:
    """What a request keeps in its context."""


VARIABLE: contextvars.ContextVar[Large] = contextvars.ContextVar("large")


@pytest.mark.parametrize("sessions", [True, False])
@pytest.mark.parametrize("verb", ["get", "load", "many", "fails"])
async def test_the_first_callers_context_does_not_live_on(fake: FakeServer, sessions: bool, verb: str) -> None:
    async def call(cache: CacheClient) -> weakref.ref[Large]:
        large = Large()
        VARIABLE.set(large)
        if verb == "get":
            await cache.get(KEY)
        elif verb == "load":
            await asyncio.gather(*(cache.get_or_load(KEY, Loader(5)) for _ in range(3)))
        elif verb == "many":
            await cache.get_or_load_many([KEY, content.Topics(user="u2")], lambda keys: dict.fromkeys(keys, 1))
        else:
            with pytest.raises(KeyError):
                await cache.get_or_load(KEY, Loader(KeyError()))
        return weakref.ref(large)

    def is_gone(seen: Any) -> bool:
        gc.collect()
        return seen() is None

    async with CacheClient.connect(fake.target, timeout_ms=30_000, sessions=sessions) as cache:
        seen = await asyncio.create_task(call(cache))
        await until("it is gone", lambda: is_gone(seen))
        await cache.get(KEY)


async def test_a_session_has_no_context_of_the_first_caller() -> None:
    async def call(cache: CacheClient) -> weakref.ref[Large]:
        large = Large()
        VARIABLE.set(large)
        await cache.get(KEY)
        return weakref.ref(large)

    def is_gone(seen: Any) -> bool:
        gc.collect()
        return seen() is None

    async with (
        SessionServer() as server,
        CacheClient.connect(server.target, timeout_ms=600_000) as cache,
    ):
        caller = asyncio.create_task(call(cache))
        session = await server.opened()
        (operation,) = await session.operations(1)
        await session.answer(hit(operation))
        seen = await caller
        del caller
        await until("it is gone", lambda: is_gone(seen))
