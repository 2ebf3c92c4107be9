"""What an entry takes in Redis, against the bare value under the same key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import orjson
import redis
from tests.benchmarks.contenders import PATIENCE_MS
from tests.benchmarks.data import TTL_MS, daily, document, prompt
from tests.benchmarks.plan import Plan
from tests.benchmarks.result import Row

from coherd.client import CacheClient
from coherd.key import Key
from rig.server import CoherdServer
from rig.valkey import standalone

_EPOCHS = "coherd:epoch:*"


async def memory(plan: Plan) -> list[Row]:
    """Entries with four and with two tags. It does not vary, so it is measured once."""
    return [
        *await _rows("analytics:daily (4 tags)", daily, plan),
        *await _rows("ai_model:prompt (2 tags)", prompt, plan),
    ]


async def _rows(what: str, key_of: Callable[[int], Key[Any]], plan: Plan) -> list[Row]:
    keys = [key_of(index) for index in range(plan.stored_keys)]
    with standalone() as valkey, valkey.client() as plain:
        before = _used(plain)
        for key in keys:
            plain.set(str(key), orjson.dumps(document()), px=TTL_MS)
        bare_each = _usage(plain, keys) / len(keys)
        bare_all = (_used(plain) - before) / len(keys)
    with standalone() as valkey, _server(valkey.url) as server, valkey.client() as plain:
        async with CacheClient.connect(server.target, timeout_ms=PATIENCE_MS) as cache:
            await cache.describe_catalog()  # connections and scripts are there before the first look
            before = _used(plain)
            await cache.set_many(dict.fromkeys(keys, document()))
        epochs = [cast(bytes, name).decode() for name in plain.scan_iter(_EPOCHS, count=1000)]
        each = (_usage(plain, keys) + _usage(plain, epochs)) / len(keys)
        everything = (_used(plain) - before) / len(keys)
    against = "bare JSON value"
    share = f"{what}, share of {len(epochs):,} epochs included"
    return [
        Row("memory", share, against, "bytes", (each,), (bare_each,)),
        Row("memory", f"{what}, growth of used_memory per entry", against, "bytes", (everything,), (bare_all,)),
    ]


def _server(redis_url: str) -> CoherdServer:
    return CoherdServer("--redis", redis_url, "--log-level", "error")


def _used(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])


def _usage(client: redis.Redis, names: Sequence[str]) -> int:
    """Sum of MEMORY USAGE."""
    with client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.memory_usage(str(name), samples=0)
        return sum(size or 0 for size in pipeline.execute())
