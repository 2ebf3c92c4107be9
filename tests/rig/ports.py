"""Ports on loopback that nobody else is given, also not by another test process of this machine."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Final

COUNT: Final = 12_000
"""Ports below those that the system gives to connections: a server that starts again finds its own still free."""

_held: dict[int, socket.socket] = {}


def reserve_port() -> int:
    """A free port, ours until `release_port` or the end of this process.

    A name in the abstract namespace of Unix sockets stands for it: only one process can bind that, and it goes with the
    process, however that ends.

    Raises:
        OSError: none is free.
    """
    first_of_system = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    first = max(1_024, first_of_system - COUNT)
    for port in random.Random().sample(range(first, first_of_system), first_of_system - first):
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            mark.bind(f"\0coherd-test-port-{port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        _held[port] = mark
        return port
    raise OSError(f"no free port in {first}..{first_of_system - 1}")


def release_port(port: int) -> None:
    """Let others have it. Idempotent."""
    mark = _held.pop(port, None)
    if mark is not None:
        mark.close()
