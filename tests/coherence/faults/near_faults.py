"""What is done to near caches while they work: to streams, clients, servers, the log, and the node that holds it.

``LONG_S`` is longer than a lease and its margin: what was cut off is over on both sides before it is whole again.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Final

from redis.crc import key_slot

from coherd_server.redis.names import log_name, registry_name
from coherence.faults.failovers import fail_over, fail_over_with_loss, replace_primary
from coherence.faults.service_faults import (
    flush_all,
    kill_client,
    kill_server,
    restart_from_old_snapshot,
    restart_store,
    stop_store,
)
from coherence.soak.near_scene import NearScene
from coherence.soak.scene import recorded
from coherence.validate.near_checkers import BOUNDS
from rig.cluster import Cluster
from rig.proxy import FaultProxy

NearFault = Callable[[NearScene], None]
LONG_S: Final = BOUNDS.bound_s + 0.6


# Streams.


def cut_streams(scene: NearScene) -> None:
    """Connections of half of the clients are reset, three times."""
    with recorded(scene, "cut_streams"):
        for _ in range(3):
            for one in _half_of_clients(scene):
                scene.to_server[one].act(FaultProxy.cut)
            time.sleep(0.3)


def _half_of_clients(scene: NearScene) -> list[str]:
    alive = [one for one, process in scene.clients.items() if process.poll() is None]
    return scene.rng.sample(alive, (len(alive) + 1) // 2)


def _for_a_while(
    scene: NearScene, kind: str, begin: Callable[[FaultProxy], None], end: Callable[[FaultProxy], None], seconds: float
) -> None:
    chosen = _half_of_clients(scene)
    with recorded(scene, kind, *chosen):
        for one in chosen:
            scene.to_server[one].act(begin)
        time.sleep(seconds)
        for one in chosen:
            scene.to_server[one].act(end)


def _set(name: str, value: object) -> Callable[[FaultProxy], None]:
    return lambda proxy: setattr(proxy, name, value)


def delay_streams(scene: NearScene) -> None:
    """Every piece of what the server says comes late."""
    _for_a_while(scene, "delay_streams", _set("reply_delay_s", 0.12), _set("reply_delay_s", 0.0), 1.5)


def crawling_streams(scene: NearScene) -> None:
    """The same, so late that most of a lease is over when its extension arrives."""
    _for_a_while(scene, "crawling_streams", _set("reply_delay_s", 0.7), _set("reply_delay_s", 0.0), 6.0)


def stepping_streams(scene: NearScene) -> None:
    """What a server says comes in three steps: an extension half a lease late, what was pushed behind it two leases
    late; meanwhile the server hears nothing."""
    chosen = _half_of_clients(scene)
    with recorded(scene, "stepping_streams", *chosen):
        for after_s, act in ((0.0, _step), (0.55, _mute), (0.05, _step), (0.2, _step), (2.2, _whole)):
            time.sleep(after_s)
            for one in chosen:
                scene.to_server[one].act(act)


def _step(proxy: FaultProxy) -> None:
    """Let through what waits, and hold what comes."""
    held, proxy.reply_hold = proxy.reply_hold, asyncio.Event()
    if held is not None:
        held.set()


def _mute(proxy: FaultProxy) -> None:
    proxy.request_hold = asyncio.Event()


def _whole(proxy: FaultProxy) -> None:
    for held in (proxy.reply_hold, proxy.request_hold):
        if held is not None:
            held.set()
    proxy.reply_hold = proxy.request_hold = None


def half_open_streams(scene: NearScene) -> None:
    """Nothing passes in either direction, nothing is closed, for longer than a lease."""
    _for_a_while(scene, "half_open_streams", _set("half_open", True), _set("half_open", False), LONG_S)


def pause_streams(scene: NearScene) -> None:
    """The same for a part of a lease."""
    _for_a_while(scene, "pause_streams", _set("half_open", True), _set("half_open", False), 0.7)


def deaf_clients(scene: NearScene) -> None:
    """Clients that are heard and hear nothing: what is pushed to them is not consumed."""
    _hold(scene, "deaf_clients", "reply_hold")


def mute_clients(scene: NearScene) -> None:
    """Clients that hear and are not heard: their acknowledgements and requests come late."""
    _hold(scene, "mute_clients", "request_hold")


def _hold(scene: NearScene, kind: str, name: str) -> None:
    def begin(proxy: FaultProxy) -> None:
        setattr(proxy, name, asyncio.Event())

    def end(proxy: FaultProxy) -> None:
        getattr(proxy, name).set()
        setattr(proxy, name, None)

    _for_a_while(scene, kind, begin, end, LONG_S)


# Processes.


def stop_near_client(scene: NearScene) -> None:
    """``SIGSTOP`` of a client, past its lease."""
    alive = [(name, one) for name, one in scene.clients.items() if one.poll() is None]
    if alive:
        name, process = scene.rng.choice(alive)
        with recorded(scene, "stop_client", name):
            process.send_signal(signal.SIGSTOP)
            time.sleep(LONG_S)
            process.send_signal(signal.SIGCONT)


def stop_near_server(scene: NearScene) -> None:
    """``SIGSTOP`` of a server, past the leases it gave."""
    process = scene.rng.choice(scene.servers).process
    with recorded(scene, "stop_server"):
        process.send_signal(signal.SIGSTOP)
        time.sleep(LONG_S)
        process.send_signal(signal.SIGCONT)


def drain_server(scene: NearScene) -> None:
    """A server is asked to stop, does so in order, and is started again on its port."""
    number = scene.rng.randrange(len(scene.servers))
    with recorded(scene, "drain_server", str(number)):
        scene.servers[number].stop()
        scene.restart_server(number)


def cut_server_off(scene: NearScene) -> None:
    """A server reaches the store and the log no more, for longer than a lease; its clients reach it."""
    proxy = scene.rng.choice(scene.to_store)
    with recorded(scene, "cut_server_off"):
        proxy.act(_set("half_open", True))
        time.sleep(LONG_S)
        proxy.act(_set("half_open", False))


def break_server_off(scene: NearScene) -> None:
    """Connections of a server to the store are reset, again and again."""
    proxy = scene.rng.choice(scene.to_store)
    with recorded(scene, "break_server_off"):
        for _ in range(4):
            proxy.act(FaultProxy.cut)
            time.sleep(0.25)


# The log.


def trim_log(scene: NearScene) -> None:
    """The log is trimmed to its last entry a hundred times in a second, then also to none, which begins it anew."""
    client = scene.holder_of_log().client()
    with recorded(scene, "trim_log"):
        for number in range(150):
            client.xtrim(log_name(""), maxlen=int(number < 100 or number % 5 != 0), approximate=False)
            time.sleep(0.01)


def delete_log(scene: NearScene) -> None:
    """The log is evicted, again and again."""
    _delete(scene, "delete_log", log_name(""))


def delete_registry(scene: NearScene) -> None:
    """The registry of members is evicted."""
    _delete(scene, "delete_registry", registry_name(""))


def _delete(scene: NearScene, kind: str, name: str) -> None:
    client = scene.holder_of_log().client()
    with recorded(scene, kind):
        for _ in range(4):
            client.delete(name)
            time.sleep(0.25)


def fail_log_over(scene: NearScene) -> None:
    """The node of a cluster that holds the log is stopped until it is replaced; then it goes on."""
    assert isinstance(scene.rig, Cluster)
    old = scene.holder_of_log()
    with recorded(scene, "fail_over"):
        replace_primary(scene.rig, old, old.pause)
        old.resume()
        time.sleep(0.5)


def move_log(scene: NearScene) -> None:
    """The log's slot moves to another node of a cluster and back."""
    assert isinstance(scene.rig, Cluster)
    source = scene.holder_of_log()
    target = next(node for node in scene.primaries() if node is not source)
    with recorded(scene, "move_slots"):
        for one, other in ((source, target), (target, source)):
            slot = key_slot(log_name("").encode())
            scene.rig.begin_migration(slot, one, other)
            time.sleep(0.3)
            scene.rig.finish_migration(slot, one, other)
            time.sleep(0.4)


ANYWHERE: Final[tuple[NearFault, ...]] = (
    cut_streams,
    delay_streams,
    crawling_streams,
    stepping_streams,
    half_open_streams,
    pause_streams,
    deaf_clients,
    mute_clients,
    stop_near_client,
    stop_near_server,
    kill_client,
    kill_server,
    drain_server,
    trim_log,
    delete_log,
    delete_registry,
    flush_all,
    stop_store,
)
SINGLE: Final[tuple[NearFault, ...]] = (cut_server_off, break_server_off, restart_store, restart_from_old_snapshot)
NEAR_BY_TOPOLOGY: Final[dict[str, tuple[NearFault, ...]]] = {
    "standalone": (*SINGLE, *ANYWHERE),
    "redis7": (*SINGLE, *ANYWHERE),
    "sentinel": (fail_over_with_loss, fail_over, *ANYWHERE),
    "cluster": (fail_log_over, move_log, fail_over_with_loss, *ANYWHERE),
}
"""What can be done to each kind of store; what is special to it first."""
