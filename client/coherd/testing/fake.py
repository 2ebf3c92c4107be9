"""`FakeCache`: a `CacheClient` that needs no server; and the catalogs it can be given."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import NoneType
from typing import Any, Generic, Literal, Self, TypeVar

from coherd._calls.arguments import checked_kind
from coherd._calls.messages import decoded
from coherd._loading.events import LoadEvent
from coherd._loading.policy import LoadLimits, LoadPolicy
from coherd.catalog.catalog import Catalog
from coherd.catalog.descriptor_sets import Source
from coherd.catalog.load import builtin_catalog, builtin_source, load_catalog
from coherd.client import DEFAULT_TIMEOUT_MS, CacheClient
from coherd.contract.reasons import Retry
from coherd.errors import CacheError, Unavailable
from coherd.key import Key
from coherd.testing.clock import FakeClock
from coherd.testing.memory import State
from coherd.testing.transport import Call, MemoryTransport
from coherd.v1.errors_pb2 import ErrorReason

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Stored(Generic[V]):
    """What a fake cache keeps under a key."""

    value: V | None
    """The value; None if `negative`."""
    state: State
    """FRESH, STALE or INVALIDATED."""
    negative: bool
    """A remembered "there is nothing"."""
    version: int | None
    age: timedelta
    ttl: timedelta
    """Until no longer fresh; negative or zero when stale."""
    tags: frozenset[str]
    """Canonical texts of all tags it carries, for instance ``analytics/user:u1``."""
    extra_tags: dict[str, str]
    """Those its writer gave: identifier name to value."""


class FakeCache(CacheClient):
    """The verbs of `CacheClient` in memory, with the rules of a real server and a clock of its own.

    Values are encoded and decoded as for a server, so nothing that is stored is shared with the test. Differences to a
    server are listed in ``docs/use/testing.md``.
    """

    clock: FakeClock
    """Its time; ``clock.advance(timedelta(hours=1))``."""
    transport: MemoryTransport
    """What answers the requests; give it to a second `CacheClient` to test two clients of one service."""

    def __init__(
        self,
        *,
        catalog: Catalog | None = None,
        clock: FakeClock | None = None,
        draw: Callable[[], float] = lambda: 0.0,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        on_unavailable: Literal["raise", "miss"] = "raise",
        loading: LoadPolicy | None = None,
        load_limits: LoadLimits | None = None,
        on_event: Callable[[LoadEvent], object] | None = None,
    ) -> None:
        """
        Args:
            catalog: what the service would run (`read_catalog`); None: the built-in one.
            clock: its time; None: one that stands still.
            draw: source of random numbers in ``[0, 1)``, for TTL jitter and early refresh. Default: always 0, which is
                no jitter, never early.
            timeout_ms, on_unavailable, loading, load_limits, on_event: as in `CacheClient`.
        """
        checked_kind("catalog", catalog, (Catalog, NoneType), "a Catalog, as read_catalog answers it")
        checked_kind("clock", clock, (FakeClock, NoneType), "a FakeClock")
        self.clock = FakeClock() if clock is None else clock
        self.transport = MemoryTransport(builtin_catalog() if catalog is None else catalog, self.clock, draw=draw)
        super().__init__(
            self.transport,
            timeout_ms=timeout_ms,
            on_unavailable=on_unavailable,
            loading=loading,
            load_limits=load_limits,
            on_event=on_event,
        )

    @classmethod
    def connect(cls, *_: Any, **__: Any) -> Self:
        """A fresh fake: what it would connect to is ignored, so that the class can stand in for `CacheClient`."""
        return cls()

    @property
    def calls(self) -> list[Call]:
        """Every request so far, in order; ``calls.clear()`` starts anew."""
        return self.transport.calls

    def stored(self, key: Key[V]) -> Stored[V] | None:
        """What is kept under a key, valid or not; None if nothing is. Counts nothing.

        Raises:
            Refusal: the catalog has no such key.
            UndecodableValue: it is not a value of the key's type.
        """
        with self.transport.lock:
            resolved = self.transport.catalog.resolve(str(key))
            lookup = self.transport.memory.look(resolved)
        kept = lookup.kept
        if kept is None or lookup.state is State.ABSENT:
            return None
        return Stored(
            value=decoded(key, kept.payload, kept.negative),
            state=lookup.state,
            negative=kept.negative,
            version=kept.version,
            age=timedelta(milliseconds=lookup.age_ms),
            ttl=timedelta(milliseconds=lookup.remaining_ms),
            tags=frozenset(tag for tag, _ in kept.epochs),
            extra_tags=kept.extra_tags,
        )

    def stored_keys(self) -> list[str]:
        """Texts of the keys under which something is kept, valid or not, in the order they were first set."""
        with self.transport.lock:
            return self.transport.memory.texts()

    def lose_everything(self) -> None:
        """Forget all entries and leases, as a flushed or restarted Redis does."""
        with self.transport.lock:
            self.transport.memory.clear()

    def failing(self, error: CacheError, *rpcs: str, takes_effect: bool = False) -> AbstractContextManager[None]:
        """Within ``with cache.failing(error):`` calls raise that error.

        Args:
            error: what to raise.
            rpcs: names of the rpcs that fail (``"Get"``, ``"BatchGet"``, ``"Set"``, …); none: all.
            takes_effect: the call is done first and only its answer is lost, as with `OutcomeUnknown`.

        Raises:
            ValueError: there is no such rpc.
        """
        return self.transport.failing(error, *rpcs, takes_effect=takes_effect)

    def unavailable(self, *rpcs: str) -> AbstractContextManager[None]:
        """Within ``with cache.unavailable():`` calls fail as they do while the service is away, without the retries."""
        reason = ErrorReason.ERROR_REASON_STORE_UNAVAILABLE
        error = Unavailable("the fake is told to be unavailable", reason=reason, retry=Retry.SAFE)
        return self.failing(error, *rpcs)


def read_catalog(*files: Path | str, builtin: bool = True) -> Catalog:
    """The catalog of ``coherd serve --catalog FILE …``.

    Args:
        files: compiled descriptor sets (``protoc --include_imports --descriptor_set_out``).
        builtin: with the built-in catalog, as a server has it by default.

    Raises:
        OSError: a file cannot be read.
        CatalogError: they are no catalog; with every problem found.
    """
    sources = [builtin_source()] if builtin else []
    return load_catalog([*sources, *(Source(str(file), Path(file).read_bytes()) for file in files)])
