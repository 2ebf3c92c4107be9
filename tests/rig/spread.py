"""How tests are spread over processes (``pytest -n 3``, pytest-xdist): what shares costly parts stays together.

A cluster and a Sentinel trio are six processes each and take seconds to start: their tests are one group each, so that
one worker starts them. Everything else goes by file, for fixtures of a module. What takes long comes first, so that no
worker is left with it at the end.

A scheduler of our own, since the groups of pytest-xdist 3.8 (``--dist loadgroup``) do nothing with pytest 9.2: they are
written into a part of the test's id that is no longer read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

ALONE: Final = (
    "tests/coherence/soak/test_histories.py",
    "tests/integration/server/test_lost_lines.py",
    "tests/integration/server/test_start_and_end.py",
)
"""Files whose tests share nothing and take long: each test is a group."""
LONG: Final = (
    "cluster",
    "sentinel",
    "tests/coherence/soak/test_histories.py",
    "tests/integration/test_benchmarks.py",
    "tests/coherence/model/test_store_interleavings.py",
    "tests/integration/server/test_workers.py",
    "tests/integration/cli/test_cli_replay.py",
    "tests/integration/dogpile_backend/",
    "tests/typing/",
    "tests/integration/client/test_fake_against_server.py",
    "tests/integration/",
    "tests/coherence/",
)
"""Beginnings of groups' names, in the order in which the groups are begun; the others come after them."""
_COSTLY: Final = re.compile(r"[\[-](cluster|sentinel)[\]-]")
"""A kind of store in the parameters of a test's id."""


def group_of(nodeid: str) -> str:
    """The group of a test, by its id."""
    path, _, name = nodeid.partition("::")
    if path in ALONE:
        return nodeid
    store = _COSTLY.search(name)
    return store[1] if store else path


def place_of(group: str) -> int:
    """When a group is begun, compared with others."""
    return next((place for place, start in enumerate(LONG) if group.startswith(start)), len(LONG))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Gives whole groups to workers."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False  # by number of tests, which says nothing of their time
    return Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a worker process: the order in which groups are begun."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: place_of(group_of(item.nodeid)))
