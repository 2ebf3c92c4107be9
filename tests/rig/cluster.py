"""A Valkey Cluster, built without any command-line tool."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from coherd_server.redis.embedded import find_binary
from rig.ports import release_port, reserve_port
from rig.process import Node, start_all
from rig.waiting import wait_until

NODE_TIMEOUT_MS = 2000


class Cluster:
    """Nodes: the first ``primaries`` were made primaries. Who is one now: `owner_of`."""

    def __init__(self, primaries: int, replicas: int) -> None:
        binary = str(find_binary())
        self._bus = [reserve_port() for _ in range(primaries + replicas)]
        self.nodes = [
            Node(
                binary,
                (
                    *("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
                    *("--cluster-port", str(bus), "--cluster-require-full-coverage", "no"),
                    *("--cluster-allow-replica-migration", "no"),
                ),
            )
            for bus in self._bus
        ]
        self._primaries = primaries
        self.login = ""
        """What `url` says before the hosts: ``user:password@``."""

    @property
    def url(self) -> str:
        """All nodes as seeds."""
        return f"redis+cluster://{self.login}" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def build(self) -> None:
        start_all(self.nodes)
        first, others = self.nodes[0], self.nodes[1:]
        share = REDIS_CLUSTER_HASH_SLOTS // self._primaries
        for i, node in enumerate(self.nodes):
            _call(node, "CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            if i < self._primaries:
                last = REDIS_CLUSTER_HASH_SLOTS - 1 if i == self._primaries - 1 else (i + 1) * share - 1
                _call(node, "CLUSTER", "ADDSLOTSRANGE", i * share, last)
        for node, bus in zip(others, self._bus[1:], strict=True):
            _call(first, "CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        wait_until("all nodes know each other", lambda: all(self._knows(node) for node in self.nodes))
        for i, node in enumerate(self.nodes[self._primaries :]):
            _call(node, "CLUSTER", "REPLICATE", self.id_of(self.nodes[i % self._primaries]))
        wait_until("the cluster is up", lambda: all(self._is_up(node) for node in self.nodes))

    def _knows(self, node: Node) -> bool:
        lines = _call(node, "CLUSTER", "NODES").decode().strip().splitlines()
        return len(lines) == len(self.nodes) and not any("handshake" in line for line in lines)

    def _is_up(self, node: Node) -> bool:
        info = node.client().info("replication")
        linked = info["role"] == "master" or info["master_link_status"] == "up"
        state = _call(node, "CLUSTER", "INFO").decode()
        covered = f"cluster_slots_ok:{REDIS_CLUSTER_HASH_SLOTS}" in state
        replicas = sum(
            1 for line in _call(node, "CLUSTER", "NODES").decode().strip().splitlines() if "slave" in line.split()[2]
        )
        return linked and covered and "cluster_state:ok" in state and replicas == len(self.nodes) - self._primaries

    def id_of(self, node: Node) -> str:
        return str(_call(node, "CLUSTER", "MYID").decode())

    def client(self) -> redis.RedisCluster:
        """A synchronous client of the whole cluster."""
        return redis.RedisCluster(
            startup_nodes=[redis.cluster.ClusterNode("127.0.0.1", node.port) for node in self.nodes], protocol=2
        )

    def owner_of(self, key: str) -> Node:
        """The primary of a key, as the first node that answers sees it."""
        slot = key_slot(key.encode())
        for node in self.nodes:
            try:
                for first, last, primary, *_ in _call(node, "CLUSTER", "SLOTS"):
                    if int(first) <= slot <= int(last):
                        return next(one for one in self.nodes if one.port == int(primary[1]))
            except redis.RedisError:
                continue
        raise AssertionError(f"nobody owns slot {slot}")

    def replica_of(self, primary: Node) -> Node:
        """One replica of a primary."""
        wanted = self.id_of(primary)
        for line in _call(primary, "CLUSTER", "NODES").decode().strip().splitlines():
            fields = line.split()
            if fields[3] == wanted:
                port = int(fields[1].split("@")[0].rsplit(":", 1)[1])
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError("no replica")

    def failover(self, key: str) -> Node:
        """Let the replica take over the slots of a key's primary; the new primary."""
        replica = self.replica_of(self.owner_of(key))
        _call(replica, "CLUSTER", "FAILOVER")
        wait_until("the replica is primary", lambda: replica.client().info("replication")["role"] == "master")
        return replica

    def begin_migration(self, slot: int, source: Node, target: Node) -> None:
        """Mark the slot: from now on keys of it answer ASK or TRYAGAIN, as the case may be."""
        _call(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        _call(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))

    def move_key(self, key: str, source: Node, target: Node) -> None:
        _call(source, "MIGRATE", "127.0.0.1", target.port, key, 0, 1000)

    def finish_migration(self, slot: int, source: Node, target: Node) -> None:
        """Move the keys that are left and give the slot away."""
        for key in _call(source, "CLUSTER", "GETKEYSINSLOT", slot, 1000):
            _call(source, "MIGRATE", "127.0.0.1", target.port, key, 0, 1000)
        for node in (target, source):
            _call(node, "CLUSTER", "SETSLOT", slot, "NODE", self.id_of(target))

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        for bus in self._bus:
            release_port(bus)


def _call(node: Node, *command: object) -> Any:
    """One command, its reply raw: redis-py parses CLUSTER replies into shapes of its own."""
    with node.client() as client:
        connection = client.connection_pool.get_connection()
        try:
            connection.send_command(*command)
            return connection.read_response()
        finally:
            client.connection_pool.release(connection)


@contextmanager
def cluster(primaries: int = 3, replicas: int = 3) -> Iterator[Cluster]:
    """A cluster that is up, all replicas linked."""
    made = Cluster(primaries, replicas)
    try:
        made.build()
        yield made
    finally:
        made.close()
