"""Failovers of a Sentinel trio or a cluster: a primary that stops and goes on, one that dies with what was not sent."""

from __future__ import annotations

import time
from collections.abc import Callable

from coherence.faults.proxy_thread import ProxyThread
from coherence.soak.scene import Scene, recorded
from rig.cluster import Cluster
from rig.process import Node
from rig.proxy import FaultProxy
from rig.sentinel import SentinelTrio


def fail_over(scene: Scene) -> None:
    """``SIGSTOP`` of a primary until it is replaced; then it goes on, as if it were still primary."""
    with recorded(scene, "fail_over"):
        if isinstance(scene.rig, SentinelTrio):
            old = scene.rig.primary()
            old.pause()
            scene.rig.wait_for_change(old)
            old.resume()
        elif isinstance(scene.rig, Cluster):
            old = scene.rng.choice(scene.primaries())
            replace_primary(scene.rig, old, old.pause)
            old.resume()
        time.sleep(0.5)


def fail_over_with_loss(scene: Scene) -> None:
    """Replication is severed for a second while changes are acknowledged; then the primary is killed, and a
    replica that never heard of them takes over."""
    with recorded(scene, "fail_over_with_loss"):
        if isinstance(scene.rig, SentinelTrio):
            _sever_by_proxy(scene.rig)
        elif isinstance(scene.rig, Cluster):
            _sever_by_password(scene.rig, scene.rng.choice(scene.primaries()))


def _sever_by_proxy(trio: SentinelTrio) -> None:
    """The replicas follow through a proxy that first delays and then passes nothing."""
    old = trio.primary()
    with ProxyThread(FaultProxy(old.port)) as proxy:
        others = [node for node in trio.nodes if node is not old]
        for node in others:
            node.client().replicaof("127.0.0.1", proxy.port)
        time.sleep(0.5)
        proxy.act(lambda one: setattr(one, "reply_delay_s", 0.1))
        time.sleep(0.3)
        proxy.act(lambda one: setattr(one, "half_open", True))
        time.sleep(1.0)
        old.kill()
        trio.wait_for_change(old)
    old.restart()
    time.sleep(0.5)


def _sever_by_password(rig: Cluster, old: Node) -> None:
    """Nodes of a cluster follow only the address it names: the replica is refused at the door instead."""
    replica = rig.replica_of(old)
    replica.client().config_set("masterauth", "wrong")
    old.client().execute_command("CLIENT", "KILL", "TYPE", "replica")
    time.sleep(1.0)
    replace_primary(rig, old, old.kill)
    replica.client().config_set("masterauth", "")
    old.restart()
    time.sleep(0.5)


def replace_primary(rig: Cluster, old: Node, hit: Callable[[], None]) -> None:
    """Hit the primary of a cluster, and wait until its replica has taken over."""
    replica = rig.replica_of(old)
    hit()
    end_s = time.monotonic() + 60
    while replica.client().info("replication")["role"] != "master":
        if time.monotonic() > end_s:
            raise TimeoutError("no replica took over")
        time.sleep(0.05)
