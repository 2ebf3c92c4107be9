"""dogpile.cache's published behaviour suite, as it comes, over the Coherd client before a real server."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from dogpile.testing.fixtures import _GenericBackendTestSuite, _GenericMutexTestSuite, _GenericSerializerTestSuite

import coherd.contrib.dogpile  # noqa: F401 - registers the backend
from rig.server import CoherdServer


class Coherd:
    """The backend under test."""

    backend = "dogpile.cache.coherd"
    config_args: ClassVar[dict[str, Any]] = {"arguments": {"domain": "content", "timeout_ms": 10_000}}

    @pytest.fixture(autouse=True)
    def _target(self, server: CoherdServer) -> None:
        self.config_args["arguments"]["target"] = server.target


class TestBackend(Coherd, _GenericBackendTestSuite):
    """With the distributed lock."""


class TestBackendWithThreadLocks(Coherd, _GenericBackendTestSuite):
    """With dogpile's own locks: then the suite also holds the backend to one creator at a time."""

    config_args: ClassVar[dict[str, Any]] = {
        "arguments": {"domain": "content", "timeout_ms": 10_000, "distributed_lock": False}
    }


class TestMutex(Coherd, _GenericMutexTestSuite):
    """The lock."""


class TestSerializer(Coherd, _GenericSerializerTestSuite, _GenericBackendTestSuite):
    """A region with a serializer of its own; and with a TTL, extra tags and a resource of its own."""

    config_args: ClassVar[dict[str, Any]] = {
        "arguments": {
            "domain": "session",
            "resource": "views",
            "ttl_s": 60,
            "timeout_ms": 10_000,
            "tags": lambda key: {"user": key},
        }
    }
