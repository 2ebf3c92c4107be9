"""What one primary reports about itself, for start-up checks and ``coherd doctor``."""

from __future__ import annotations

from coherd_server.core.store import NodeReport, StoreUnavailable
from coherd_server.redis.connection import Address, Connection, ConnectionLost, parse_info
from coherd_server.redis.redis_url import RedisTarget
from coherd_server.redis.settings import StoreSettings


async def inspect_node(target: RedisTarget, address: Address, settings: StoreSettings, *, cluster: bool) -> NodeReport:
    """Look at one primary over two fresh connections.

    Raises:
        StoreUnavailable: it does not answer in time, or is not a primary.
    """
    connections: list[Connection] = []
    try:
        for _ in range(2):
            connections.append(await Connection.dial(target, address, settings, cluster=cluster))
        [reply] = await connections[0].exchange([("INFO", "memory")], timeout_ms=settings.reply_timeout_ms)
    except ConnectionLost as lost:
        raise StoreUnavailable(str(lost)) from None
    finally:
        for connection in connections:
            connection.close()
    memory = parse_info(reply) if isinstance(reply, bytes) else {}
    info = connections[0].info
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
        identity_stable=info["run_id"] == connections[1].info["run_id"],
    )
