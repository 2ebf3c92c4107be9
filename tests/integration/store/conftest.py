"""A server of the test file's own, and a proxy before it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from rig.process import Node
from rig.proxy import FaultProxy
from rig.valkey import standalone


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with standalone() as started:
        yield started


@pytest.fixture
async def proxy(node: Node) -> AsyncIterator[FaultProxy]:
    node.client().flushall()
    async with FaultProxy(node.port) as made:
        yield made
