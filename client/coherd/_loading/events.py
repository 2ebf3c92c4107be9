"""What happens to loads, counted and told to the application."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from coherd.key import Key

log: Final = logging.getLogger("coherd.loading")


class LoadEventKind(StrEnum):
    """What happened."""

    LOAD_FAILED = "load_failed"
    """A loader failed or took too long, or its value is not of the key's type."""
    BACKGROUND_REFRESH = "background_refresh"
    """A load began that nobody waits for, behind a stale or soon expiring value."""
    UNCACHED = "uncached"
    """A value was loaded and given to its callers, but could not be stored."""
    WITHOUT_SERVICE = "without_service"
    """A load began without the service, which did not answer; its value is not stored."""
    AHEAD_OF_SERVER = "ahead_of_server"
    """A load began without the service, whose catalog does not have the key or a tag yet; its value is not stored."""
    UNDECODABLE = "undecodable"
    """A stored value did not decode; it is loaded anew and replaced."""
    NO_THREAD = "no_thread"
    """A plain loader got no thread."""


class LoadEvent(NamedTuple):
    """Something that happened to loads of one resource."""

    kind: LoadEventKind
    resource: str
    """``domain:resource``."""
    error: str
    """Name of the error's class; empty where there is none."""


class Events:
    """The events of one client. Usable from any thread; counts of loops in several threads may miss a few.

    Args:
        tell: called with each event, in the event loop of the loads; what it raises is logged. None: nobody.
    """

    def __init__(self, tell: Callable[[LoadEvent], object] | None) -> None:
        self._tell = tell
        self._counts: Counter[tuple[str, LoadEventKind]] = Counter()
        self._logged: set[LoadEvent] = set()

    def happened(
        self, kind: LoadEventKind, keys: Iterable[Key[Any]], error: BaseException | None = None, *, log_it: bool = False
    ) -> None:
        """Counts and tells an event, once for each resource of the keys.

        Args:
            kind: of the event.
            keys: whom it happened to.
            error: what it came of, if an error.
            log_it: warn the operator, once per resource and class of error.
        """
        for resource in sorted({resource_of(key) for key in keys}):
            event = LoadEvent(kind, resource, "" if error is None else type(error).__name__)
            self._counts[resource, kind] += 1
            if log_it and event not in self._logged:
                self._logged.add(event)
                log.warning("%s: %s: %s (told once; counted in load_counts)", resource, _TEXTS[kind], event.error)
            if self._tell is not None:
                try:
                    self._tell(event)
                except Exception as failure:  # noqa: BLE001 - no load fails for it
                    log.warning("on_event failed: %s", type(failure).__name__)

    @property
    def counts(self) -> Mapping[str, Mapping[LoadEventKind, int]]:
        """How often each kind happened, by resource."""
        by_resource: dict[str, dict[LoadEventKind, int]] = {}
        for (resource, kind), count in list(self._counts.items()):
            by_resource.setdefault(resource, {})[kind] = count
        return by_resource


def resource_of(key: Key[Any]) -> str:
    """``domain:resource``: what logs may name."""
    return ":".join(key.split(":", 2)[:2])


_TEXTS: Final = {
    LoadEventKind.LOAD_FAILED: "a load failed",
    LoadEventKind.BACKGROUND_REFRESH: "a load began in the background",
    LoadEventKind.UNCACHED: "a loaded value was given to its callers, but is not cached",
    LoadEventKind.WITHOUT_SERVICE: "a load began without the service",
    LoadEventKind.AHEAD_OF_SERVER: "the server's catalog does not have this key or tag: it is loaded, and not cached",
    LoadEventKind.UNDECODABLE: "a stored value does not decode; it is loaded anew and replaced",
    LoadEventKind.NO_THREAD: "a plain loader got no thread",
}
