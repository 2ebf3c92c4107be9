"""``python -m tests.coherence.outage``: what callers see while Redis, or a part of it, is away. Prints a table."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from coherd import CacheClient, CacheError, OpenKey
from rig.cluster import Cluster, cluster
from rig.process import Node
from rig.sentinel import sentinel_trio
from rig.server import CoherdServer
from rig.valkey import standalone

CALLERS: Final = 8
LIMIT_MS: Final = 3_000
BEFORE_S: Final = 2.0
AWAY_S: Final = 5.0
AFTER_S: Final = 12.0
DOMAINS: Final = ("analytics", "content", "maintenance", "ai_model", "celery")


class Call(NamedTuple):
    """One get."""

    start_s: float
    end_s: float
    error: str


class Row(NamedTuple):
    """What was seen of one loss."""

    what: str
    longest_ms: float
    """Of the calls that were under way while it was away."""
    answered: str
    """Of those."""
    recovered_ms: float | None
    """From its return, or from the loss where nothing returns, until a call was answered and none failed after it."""
    p50_ms: tuple[float, float]
    """Of answered calls: before, and while it was away."""


async def _watch(client: CacheClient, keys: Sequence[OpenKey], until_s: float, calls: list[Call]) -> None:
    turn = 0
    while time.monotonic() < until_s:
        began_s, error = time.monotonic(), ""
        turn += 1
        try:
            await client.get(keys[turn % len(keys)], timeout_ms=LIMIT_MS)
        except CacheError as failed:
            error = type(failed).__name__
        calls.append(Call(began_s, time.monotonic(), error))
        await asyncio.sleep(0.005)


async def _lose(
    what: str,
    server: CoherdServer,
    keys: Sequence[OpenKey],
    lose: Callable[[], object],
    bring_back: Callable[[], object] | None,
) -> Row:
    async with CacheClient.connect(server.target, near_cache=False) as client:
        await client.set_many(dict.fromkeys(keys, 1))
        calls: list[Call] = []
        began_s = time.monotonic()
        until_s = began_s + BEFORE_S + AWAY_S + AFTER_S
        watching = [asyncio.create_task(_watch(client, keys, until_s, calls)) for _ in range(CALLERS)]
        await asyncio.sleep(BEFORE_S)
        lost_s = time.monotonic()
        await asyncio.to_thread(lose)
        await asyncio.sleep(AWAY_S)
        back_s = lost_s
        if bring_back is not None:
            await asyncio.to_thread(bring_back)
            back_s = time.monotonic()
        await asyncio.gather(*watching)
    return _row(what, calls, lost_s, lost_s + AWAY_S, back_s)


def _row(what: str, calls: Sequence[Call], lost_s: float, away_until_s: float, back_s: float) -> Row:
    away = [one for one in calls if one.end_s >= lost_s and one.start_s < away_until_s]
    failed_s = [one.end_s for one in calls if one.error]
    good_s = [one.end_s for one in calls if not one.error and one.end_s > max([back_s, *failed_s])]
    outcomes = Counter(one.error or "answered" for one in away)
    return Row(
        what,
        max(one.end_s - one.start_s for one in away) * 1e3,
        ", ".join(f"{count:,} {name}" for name, count in outcomes.most_common()),
        (min(good_s) - back_s) * 1e3 if good_s and failed_s else None,
        (_p50_ms([one for one in calls if one.end_s < lost_s]), _p50_ms(away)),
    )


def _p50_ms(calls: Sequence[Call]) -> float:
    times = [one.end_s - one.start_s for one in calls if not one.error]
    return statistics.median(times) * 1e3 if times else float("nan")


KEYS: Final = [OpenKey("celery", "own", {"id": str(number)}) for number in range(50)]


async def _single() -> list[Row]:
    rows: list[Row] = []
    for what, lose, bring_back in (
        ("killed, started again after 5 s", Node.kill, Node.restart),
        ("stands still for 5 s", Node.pause, Node.resume),
    ):
        with standalone() as node, CoherdServer("--redis", node.url, "--log-level", "error") as server:
            rows.append(await _lose(f"one Valkey {what}", server, KEYS, partial(lose, node), partial(bring_back, node)))
    return rows


async def _sentinel() -> list[Row]:
    with sentinel_trio() as trio, CoherdServer("--redis", trio.url, "--log-level", "error") as server:
        primary = trio.primary()
        return [await _lose("Sentinel: the primary is killed for good", server, KEYS, primary.kill, None)]


def _bystander(rig: Cluster) -> tuple[str, Node]:
    """A domain, and a primary that holds none of the tags of its resource ``own``."""
    primaries = {rig.owner_of(f"k{number}") for number in range(200)}
    for domain in DOMAINS:
        holders = {rig.owner_of(f"coherd:epoch:{tag}") for tag in (domain, f"{domain}:own")}
        for node in primaries - holders:
            return domain, node
    raise AssertionError("no domain leaves a node free")


async def _cluster() -> list[Row]:
    """A primary that holds nothing of some keys, their tags included, stands still; then the one that holds them."""
    rows: list[Row] = []
    with cluster() as rig, CoherdServer("--redis", rig.url, "--log-level", "error") as server:
        for whose in ("another", "their"):
            domain, node = _bystander(rig)
            keys = [OpenKey(domain, "own", {"id": str(number)}) for number in range(400)]
            chosen = [key for key in keys if (rig.owner_of(key) is node) is (whose == "their")][:50]
            what = f"Cluster: {whose} primary stands still for {AWAY_S:.0f} s"
            rows.append(await _lose(what, server, chosen, node.pause, node.resume))
    return rows


async def main() -> None:
    """Print what was seen."""
    print(
        f"| lost | longest call, ms (of {LIMIT_MS:,}) | calls meanwhile | recovered, ms | p50 before / meanwhile, ms |"
    )
    print("|---|--:|---|--:|--:|")
    measures: Sequence[Callable[[], Awaitable[list[Row]]]] = (_single, _sentinel, _cluster)
    for measure in measures:
        for row in await measure():
            recovered = "none failed" if row.recovered_ms is None else f"{row.recovered_ms:,.0f}"
            p50 = " / ".join(f"{one:.1f}" for one in row.p50_ms)
            print(f"| {row.what} | {row.longest_ms:,.0f} | {row.answered} | {recovered} | {p50} |", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
