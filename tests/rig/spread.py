"""How tests are spread over processes (pytest-xdist, ``--dist loadgroup``): what shares costly parts stays together.

A cluster and a Sentinel trio are six processes each and take seconds to start: their tests are one group each, so that
one worker starts them. Everything else goes by file, for fixtures of a module. What takes long comes first, so that no
worker is left with it at the end.
"""

from __future__ import annotations

from typing import Final

import pytest

COSTLY: Final = ("cluster", "sentinel")
"""Kinds of store that only one worker starts."""
ALONE: Final = ("coherence/test_histories.py",)
"""Files whose tests share nothing and take long: each test is a group."""
FIRST: Final = (
    "cluster",
    "sentinel",
    "coherence/",
    "unit/testing/test_fake_against_server.py",
    "integration/dogpile_backend/",
    "integration/server/",
    "integration/store/",
    "integration/client/",
    "integration/",
)
"""Beginnings of names of groups, longest first."""


@pytest.hookimpl(tryfirst=True)  # pytest-xdist's own hook reads the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give every test its group, and order the groups."""
    if not hasattr(config, "workerinput") and not config.getoption("numprocesses", None):
        return
    groups = {item: _group(item) for item in items}
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: _place(groups[item]))


def _group(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    for value in callspec.params.values() if callspec is not None else ():
        if isinstance(value, str) and value in COSTLY:
            return value
    path = item.path.relative_to(item.config.rootpath / "tests").as_posix()
    return f"{path}:{item.name}" if path in ALONE else path


def _place(group: str) -> int:
    return next((place for place, start in enumerate(FIRST) if group.startswith(start)), len(FIRST))
