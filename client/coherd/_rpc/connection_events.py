"""What happens between a client and its service, counted and told to the application."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

log: Final = logging.getLogger("coherd.connection")


class ConnectionEventKind(StrEnum):
    """What happened."""

    SERVICE_LOST = "service_lost"
    """The breaker opened: the service cannot be reached, or does not answer."""
    STORE_LOST = "store_lost"
    """The breaker opened: the service answers that its store does not."""
    BACK = "back"
    """The breaker closed: calls are sent again."""
    SERVER_SILENT = "server_silent"
    """A server gave no sign of life, and was left."""
    RETRIES_SPENT = "retries_spent"
    """The retry budget is spent: failed calls are not repeated until others succeed."""
    RETRIED = "retried"
    """A failed call was tried again; what the breaker refused is not among them. Only counted."""
    NOT_RETRIED = "not_retried"
    """A failed call was not sent again since the retry budget was spent. Only counted."""
    NOT_SENT = "not_sent"
    """An attempt was not sent since the breaker was open; a call may make several. Only counted."""


class ConnectionEvent(NamedTuple):
    """Something that happened between a client and its service, in one event loop."""

    kind: ConnectionEventKind


class ConnectionEvents:
    """The events of one transport. Usable from any thread; counts of loops in several threads may miss a few.

    Args:
        tell: called with each event that is more than counted, in its event loop; what it raises is logged. None:
            nobody.
    """

    def __init__(self, tell: Callable[[Any], object] | None) -> None:
        self._tell = tell
        self._counts: Counter[ConnectionEventKind] = Counter()

    def count(self, kind: ConnectionEventKind) -> None:
        """It happened, and is only counted."""
        self._counts[kind] += 1

    def happened(self, kind: ConnectionEventKind) -> None:
        """It happened: count it, log it, tell it."""
        self._counts[kind] += 1
        log.log(logging.INFO if kind is ConnectionEventKind.BACK else logging.WARNING, "%s", _TEXTS[kind])
        if self._tell is not None:
            try:
                self._tell(ConnectionEvent(kind))
            except Exception as failure:  # noqa: BLE001 - no call fails for it
                log.warning("on_event failed: %s", type(failure).__name__)

    @property
    def counts(self) -> Mapping[ConnectionEventKind, int]:
        """How often each kind happened."""
        return dict(self._counts)


_TEXTS: Final = {
    ConnectionEventKind.SERVICE_LOST: "the service does not answer: calls that can go on without it are not sent",
    ConnectionEventKind.STORE_LOST: "the store of the service does not answer: calls that can go on are not sent",
    ConnectionEventKind.BACK: "the service answers again",
    ConnectionEventKind.SERVER_SILENT: "a server gave no sign of life, and was left",
    ConnectionEventKind.RETRIES_SPENT: "too many calls fail: they are not repeated until others succeed",
}
