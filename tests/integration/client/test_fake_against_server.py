"""Random sequences of verbs get the same answers, errors and counts from a fake and from a real server."""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import Any, Final

from drawn_steps import SEQUENCES, Side, Step
from hypothesis import HealthCheck, Phase, given, settings

from coherd import BatchError, CacheClient, CacheError
from coherd._rpc.unary import UnaryTransport
from coherd.testing import FakeCache
from rig.server import CoherdServer

CLOSE_MS: Final = 20_000
"""How far times of a real server may be from those of a fake whose clock stands still."""
COUNTS: Final = (
    "hits",
    "stale_hits",
    "misses",
    "sets",
    "fills",
    "rejected_fills",
    "loads_avoided",
    "invalidations",
    "deletes",
    "read_bytes",
    "written_bytes",
    "foreign",
    "dead",
)


def outcome_of(error: BaseException) -> Any:
    """What a caller is told."""
    if isinstance(error, BatchError):
        return ("batch", list(error.results.items()), {key: outcome_of(each) for key, each in error.errors.items()})
    if isinstance(error, CacheError):
        return (type(error), error.reason, error.retry, error.retry_after_ms, error.field, str(error))
    return (type(error), str(error))


async def answer_of(step: Step, side: Side) -> Any:
    try:
        return await step(side)
    except (CacheError, ValueError, TypeError) as error:
        return outcome_of(error)


def times_in(text: str) -> tuple[str, list[int]]:
    """The text of an answer without its times, and its times."""
    pattern = re.compile(r"(age_ms|remaining_ttl_ms)[=:] ?(-?\d+)")
    bare = re.sub(r"\s+", " ", pattern.sub("", text))
    return bare, [int(number) for name, number in pattern.findall(text) if name == "remaining_ttl_ms"]


def same(real: Any, fake: Any) -> bool:
    (real_text, real_times), (fake_text, fake_times) = times_in(repr(real)), times_in(repr(fake))
    return real_text == fake_text and all(
        abs(one - other) <= CLOSE_MS for one, other in zip(real_times, fake_times, strict=True)
    )


async def counts_of(cache: CacheClient) -> dict[str, list[float]]:
    return {
        name: [
            *(getattr(each, count) for count in COUNTS),
            each.read_latency.count,
            each.write_latency.count,
        ]
        for name, each in (await cache.metrics()).items()
    }


async def compare(real: Side, sequence: list[tuple[str, Step]]) -> None:
    cache = FakeCache()
    fake = Side(cache, cache.transport, real.mark, {})
    before = await counts_of(real.cache)
    for at, (text, step) in enumerate(sequence):
        expected, got = await answer_of(step, real), await answer_of(step, fake)
        assert same(expected, got), f"step {at}, {text}: the server answers {expected!r}, the fake {got!r}"
    after = await counts_of(real.cache)
    counted = {name: [new - old for new, old in zip(after[name], before[name], strict=True)] for name in after}
    assert await counts_of(cache) == counted


def test_a_fake_answers_as_a_server_does(server: CoherdServer) -> None:
    with asyncio.Runner() as runner:
        transport = UnaryTransport(server.target)
        client = CacheClient(transport, timeout_ms=60_000)

        @settings(
            max_examples=150,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
        )
        @given(SEQUENCES)
        def check(sequence: list[tuple[str, Step]]) -> None:
            runner.run(compare(Side(client, transport, uuid.uuid4().hex, {}), sequence))

        check()
        runner.run(client.close())


async def test_a_fake_describes_the_catalog_as_a_server_does(server: CoherdServer) -> None:
    async with CacheClient.connect(server.target, timeout_ms=60_000) as real:
        fake = FakeCache()
        assert await fake.describe_catalog() == await real.describe_catalog()
        assert await fake.describe_catalog("crisis", "content") == await real.describe_catalog("crisis", "content")
