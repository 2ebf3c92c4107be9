"""Tests that share costly parts are given to one worker, and the long ones are begun first."""

from __future__ import annotations

import pytest

from rig.spread import group_of, place_of


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/integration/server/test_verbs.py::test_get[cluster]", "cluster"),
        ("tests/integration/server/test_leases.py::test_end[sentinel-expire]", "sentinel"),
        ("tests/integration/client/test_client_suite.py::TestUnaryClient::test_keys[x-cluster]", "cluster"),
        ("tests/integration/server/test_verbs.py::test_get[standalone]", "tests/integration/server/test_verbs.py"),
        ("tests/unit/test_redis_url.py::test_url[redis+cluster://h]", "tests/unit/test_redis_url.py"),
        ("tests/integration/store/test_store_cluster.py::test_x", "tests/integration/store/test_store_cluster.py"),
        (
            "tests/coherence/soak/test_histories.py::test_y[cluster]",
            "tests/coherence/soak/test_histories.py::test_y[cluster]",
        ),
    ],
)
def test_the_group_follows_from_the_id(nodeid: str, group: str) -> None:
    assert group_of(nodeid) == group


def test_long_groups_are_begun_first() -> None:
    groups = ["tests/unit/a.py", "tests/integration/cli/test_cli_replay.py", "tests/integration/server/b.py", "cluster"]
    assert sorted(groups, key=place_of) == [groups[3], groups[1], groups[2], groups[0]]
