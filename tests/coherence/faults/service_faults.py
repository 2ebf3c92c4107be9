"""What is done to a scene while its clients work. Each fault is recorded, from its first act until all is whole."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from typing import Final

import redis
from redis.crc import key_slot

from coherence.faults.failovers import fail_over, fail_over_with_loss
from coherence.soak.scene import Scene, recorded
from coherence.traffic.keyspace import ITEMS
from rig.cluster import Cluster
from rig.process import Node

Fault = Callable[[Scene], None]
EVICTION_POLICIES: Final = (
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
)


# Clients and servers.


def _busy_client(scene: Scene) -> tuple[str, subprocess.Popen[bytes]] | None:
    alive = [(name, one) for name, one in scene.clients.items() if one.poll() is None]
    return scene.rng.choice(alive) if alive else None


def kill_client(scene: Scene) -> None:
    """``kill -9`` of a process that holds leases, and another in its place."""
    if (chosen := _busy_client(scene)) is not None:
        with recorded(scene, "kill_client", chosen[0]):
            chosen[1].kill()
            scene.start_client()


def stop_client(scene: Scene) -> None:
    """``SIGSTOP`` of a process that holds leases: when it goes on, they are lost and it fills all the same."""
    if (chosen := _busy_client(scene)) is not None:
        with recorded(scene, "stop_client", chosen[0]):
            chosen[1].send_signal(signal.SIGSTOP)
            time.sleep(2.5)
            chosen[1].send_signal(signal.SIGCONT)


def kill_server(scene: Scene) -> None:
    """``kill -9`` of a server; it is started again on its port."""
    number = scene.rng.randrange(len(scene.servers))
    with recorded(scene, "kill_server", str(number)):
        scene.servers[number].kill()
        time.sleep(0.3)
        scene.restart_server(number)


def stop_server(scene: Scene) -> None:
    """``SIGSTOP`` of a server."""
    process = scene.rng.choice(scene.servers).process
    with recorded(scene, "stop_server"):
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        process.send_signal(signal.SIGCONT)


# The store forgets.


def flush_all(scene: Scene) -> None:
    """``FLUSHALL``."""
    with recorded(scene, "flush_all"):
        scene.on_primaries("FLUSHALL")


def _forget(scene: Scene, pattern: str, share: float) -> None:
    for node in scene.primaries():
        client = node.client()
        names = [name for name in client.scan_iter(pattern, 1000) if scene.rng.random() < share]
        for name in names:
            client.delete(name)


def forget_epochs(scene: Scene) -> None:
    """Eviction of half of the epochs, again and again for a second."""
    with recorded(scene, "forget_epochs"):
        for _ in range(10):
            _forget(scene, "*coherd:epoch:*", 0.5)
            time.sleep(0.1)


def forget_leases(scene: Scene) -> None:
    """Eviction of leases."""
    with recorded(scene, "forget_leases"):
        for _ in range(5):
            _forget(scene, "*coherd:lease:*", 1.0)
            time.sleep(0.1)


def fill_memory(policy: str) -> Fault:
    """``maxmemory`` just above what is used, with an eviction policy, while bulk comes in."""

    def fault(scene: Scene) -> None:
        bulk = b"x" * 4096
        clients = [node.client() for node in scene.primaries()]
        with recorded(scene, "fill_memory", policy):
            for client in clients:
                client.config_set("maxmemory-policy", policy)
                client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 200_000)
            for number in range(600):
                for client in clients:
                    try:
                        client.set(f"bulk:{number}", bulk, ex=60)
                    except redis.ResponseError:
                        continue
                time.sleep(0.002)
            for client in clients:
                client.config_set("maxmemory", 0)
                names = list(client.scan_iter("bulk:*", 1000))
                for name in names:
                    client.delete(name)

    fault.__name__ = f"fill_memory_{policy.replace('-', '_')}"
    return fault


# Nodes of the store.


def restart_store(scene: Scene) -> None:
    """``kill -9`` of a single node, which comes back empty."""
    assert isinstance(scene.rig, Node)
    with recorded(scene, "restart_store"):
        scene.rig.restart()


def restart_from_old_snapshot(scene: Scene) -> None:
    """``kill -9`` of a single node, which comes back with what it held a second ago."""
    assert isinstance(scene.rig, Node)
    with recorded(scene, "restart_from_old_snapshot"):
        scene.rig.client().save()
        time.sleep(1.0)
        scene.rig.restart()


def restart_all_from_old_snapshot(scene: Scene) -> None:
    """As before, and every server with it: nobody is left who remembers what was acknowledged
    [repeat-on-switch]."""
    assert isinstance(scene.rig, Node)
    with recorded(scene, "restart_from_old_snapshot", "servers"):
        scene.rig.client().save()
        time.sleep(1.0)
        for server in scene.servers:
            server.kill()
        scene.rig.restart()
        for number in range(len(scene.servers)):
            scene.restart_server(number)


def late_commands(scene: Scene) -> None:
    """The connections of one server are cut while sets are on their way; they arrive later."""
    assert scene.late is not None
    with recorded(scene, "late_commands"):
        for _ in range(10):
            scene.late.act(lambda proxy: proxy.hold(b'"set"'))  # in the value of a set, not of a load
            time.sleep(0.25)
            scene.late.act(lambda proxy: proxy.hang_up())
            time.sleep(0.06)
            scene.late.act(lambda proxy: proxy.release())
            time.sleep(0.15)


def stop_store(scene: Scene) -> None:
    """``SIGSTOP`` of a primary for longer than a call waits, but not long enough to be replaced."""
    node = scene.rng.choice(scene.primaries())
    with recorded(scene, "stop_store"):
        node.pause()
        time.sleep(0.8)
        node.resume()


def move_slots(scene: Scene) -> None:
    """Slots of keys, epochs and leases move to another node and back while all of them are in use."""
    assert isinstance(scene.rig, Cluster)
    names = ["coherd:epoch:analytics/user:u1", *(item.key for item in scene.rng.sample(ITEMS, 2))]
    with recorded(scene, "move_slots"):
        for name in names:
            source = scene.rig.owner_of(name)
            target = next(node for node in scene.primaries() if node is not source)
            for one, other in ((source, target), (target, source)):
                slot = key_slot(name.encode())
                scene.rig.begin_migration(slot, one, other)
                time.sleep(0.3)
                scene.rig.finish_migration(slot, one, other)
                time.sleep(0.2)


ANYWHERE: Final[tuple[Fault, ...]] = (
    kill_client,
    stop_client,
    kill_server,
    stop_server,
    flush_all,
    forget_epochs,
    forget_leases,
    stop_store,
    *(fill_memory(policy) for policy in EVICTION_POLICIES),
)
SINGLE: Final[tuple[Fault, ...]] = (
    restart_from_old_snapshot,
    late_commands,
    restart_store,
    restart_all_from_old_snapshot,
)
BY_TOPOLOGY: Final[dict[str, tuple[Fault, ...]]] = {
    "standalone": (*SINGLE, *ANYWHERE),
    "redis7": (*SINGLE, *ANYWHERE),
    "sentinel": (fail_over_with_loss, fail_over, *ANYWHERE),
    "cluster": (fail_over_with_loss, move_slots, fail_over, *ANYWHERE),
}
"""What can be done to each kind of store; what is special to it first."""
