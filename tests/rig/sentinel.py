"""One primary, two replicas, three sentinels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from coherd_server.redis.embedded import find_binary
from rig.process import Node, start_all
from rig.waiting import wait_until

SERVICE = "mymaster"
DOWN_AFTER_MS = 1000


class SentinelTrio:
    """Who is primary now: `primary`."""

    def __init__(self) -> None:
        binary = str(find_binary())
        self.nodes = [Node(binary) for _ in range(3)]
        self.login = ""
        """What `url` says before the hosts: ``user:password@``, of the nodes that store."""
        config = "\n".join(
            [
                f"sentinel monitor {SERVICE} 127.0.0.1 {self.nodes[0].port} 2",
                f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
                f"sentinel failover-timeout {SERVICE} 4000",
                "",
            ]
        )
        self.sentinels = [Node(binary, config=config) for _ in range(3)]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.sentinels)
        return f"redis+sentinel://{self.login}{hosts}/{SERVICE}"

    def build(self) -> None:
        start_all(self.nodes)
        for node in self.nodes[1:]:
            node.client().replicaof("127.0.0.1", self.nodes[0].port)
        wait_until("replicas are linked", lambda: self.nodes[0].client().info("replication")["connected_slaves"] == 2)
        wait_until("replicas are in sync", lambda: all(self._is_linked(node) for node in self.nodes[1:]))
        start_all(self.sentinels)
        wait_until("sentinels see each other and both replicas", lambda: all(map(self._sees_all, self.sentinels)))

    def _is_linked(self, node: Node) -> bool:
        return bool(node.client().info("replication").get("master_link_status") == "up")

    def _sees_all(self, sentinel: Node) -> bool:
        state = sentinel.client().sentinel_master(SERVICE)
        return state["num-slaves"] == 2 and state["num-other-sentinels"] == 2

    def primary(self) -> Node:
        """As the first sentinel that answers sees it."""
        for sentinel in self.sentinels:
            try:
                port = int(sentinel.client().sentinel_master(SERVICE)["port"])
            except redis.RedisError:
                continue
            return next(node for node in self.nodes if node.port == port)
        raise AssertionError("no sentinel answers")

    def failover(self) -> Node:
        """Ask for a failover and wait until all sentinels name the new primary, which it returns."""
        old = self.primary()
        self.sentinels[0].client().execute_command("SENTINEL FAILOVER", SERVICE)
        return self.wait_for_change(old)

    def wait_for_change(self, old: Node) -> Node:
        """Wait until every sentinel names another primary than ``old``, which says so itself."""

        def changed() -> bool:
            ports = {int(one.client().sentinel_master(SERVICE)["port"]) for one in self.sentinels}
            return old.port not in ports and self.primary().client().info("replication")["role"] == "master"

        wait_until("the sentinels name a new primary", changed)
        return self.primary()

    def close(self) -> None:
        for node in [*self.sentinels, *self.nodes]:
            node.close()


@contextmanager
def sentinel_trio() -> Iterator[SentinelTrio]:
    """Ready: replicas in sync, sentinels agreed."""
    made = SentinelTrio()
    try:
        made.build()
        yield made
    finally:
        made.close()
