"""What one primary reports about itself, for start-up checks and ``coherd doctor``."""

from __future__ import annotations

from coherd_server.core.ports import NodeReport, StoreUnavailable
from coherd_server.redis.redis_url import RedisTarget
from coherd_server.redis.settings import StoreSettings
from coherd_server.redis.wire import Address, Wire, WireLost, parse_info


async def inspect_node(target: RedisTarget, address: Address, settings: StoreSettings, *, cluster: bool) -> NodeReport:
    """Look at one primary over two fresh connections.

    Raises:
        StoreUnavailable: it does not answer in time, or is not a primary.
    """
    wires: list[Wire] = []
    try:
        for _ in range(2):
            wires.append(await Wire.dial(target, address, settings, cluster=cluster))
        [reply] = await wires[0].exchange([("INFO", "memory")], timeout_ms=settings.reply_timeout_ms)
    except WireLost as lost:
        raise StoreUnavailable(str(lost)) from None
    finally:
        for wire in wires:
            wire.close()
    memory = parse_info(reply) if isinstance(reply, bytes) else {}
    info = wires[0].info
    valkey = "valkey_version" in info
    return NodeReport(
        address=str(address),
        role=info["role"],
        software="valkey" if valkey else "redis",
        version=info["valkey_version" if valkey else "redis_version"],
        maxmemory_bytes=int(memory.get("maxmemory", 0)),
        used_memory_bytes=int(memory.get("used_memory", 0)),
        maxmemory_policy=memory.get("maxmemory_policy"),
        run_id=info["run_id"],
        identity_stable=info["run_id"] == wires[1].info["run_id"],
    )
