"""The options of every command that talks to a server, and how such a command runs: connect, act, one line on failure."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import click

from coherd.cli import parameters
from coherd.cli.exits import CommandFailure, ExitCode
from coherd.client import CacheClient
from coherd.codec import ValueDecodeError, ValueEncodeError
from coherd.contract.catalog import CatalogError
from coherd.contract.reasons import Refusal, reason_name

P = ParamSpec("P")
T = TypeVar("T")

DEFAULT_TARGET: Final = "localhost:50051"


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Which server, and how to reach it."""

    target: str
    timeout_ms: int = 5_000
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    token: str | None = None
