"""How long epochs are known to live, so that most writes read them instead of ensuring them.

To ensure an epoch is a script's work per tag; a read is one name in an ``MGET``. A write needs the epoch and the
certainty that it lives at least as long as the entry [epochs-outlive-entries]. So the script is asked for more than is
needed, and until that is used up an epoch that still reads the same need not be ensured again. What was evicted, lost
or invalidated reads differently.
"""

from __future__ import annotations

from typing import Final

from coherd_server.core.store import EpochRead

MOST_TAGS: Final = 65_536
EXTRA_MS: Final = 3_600_000
"""How much longer than needed an epoch is made to live, at most; never more than twice as long."""


class KnownEpochs:
    """Remembers epochs that were ensured lately. Times in milliseconds of one clock that only the caller knows."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[EpochRead, int]] = {}

    def of(self, tag: str, until_ms: int) -> EpochRead | None:
        """The epoch that lives until then at least, if it is still there; None: it must be ensured."""
        known = self._known.get(tag)
        return known[0] if known is not None and known[1] >= until_ms else None

    def forget(self, tag: str) -> None:
        """The epoch was replaced, or is not there."""
        self._known.pop(tag, None)

    def note(self, tag: str, epoch: EpochRead, until_ms: int) -> None:
        """The epoch was found, or made, to live until then."""
        known = self._known
        known.pop(tag, None)
        known[tag] = (epoch, until_ms)
        if len(known) > MOST_TAGS:
            del known[next(iter(known))]


def lifetime_to_ask_ms(need_ms: int) -> int:
    """The lifetime to ask for."""
    return need_ms + min(need_ms, EXTRA_MS)
