"""Durations as people write them: ``500ms``, ``90s``, ``30m``, ``12h``, ``7d``, ``1h30m``. Pure; the same text in the
command line, the server's settings and everything that prints a duration. Inside, durations are integer milliseconds.
"""

from __future__ import annotations

import re
from typing import Final

UNITS_MS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
"""Milliseconds of each unit, largest first."""

_PART: Final = re.compile(r"([0-9]{1,15})(ms|[dhms])", re.ASCII)
_TEXT: Final = re.compile(r"(?:[0-9]{1,15}(?:ms|[dhms]))+", re.ASCII)
_FORM: Final = "write a whole number with its unit (ms, s, m, h, d), like 500ms, 90s, 30m or 1h30m"
_SHOWN_CHARS: Final = 24


def parse_duration_ms(text: str, *, low_ms: int = 0, high_ms: int | None = None) -> int:
    """Milliseconds of a duration. Units stand largest first, each at most once; ``0`` needs no unit.

    Args:
        text: for instance ``1h30m``.
        low_ms: least that is accepted.
        high_ms: most that is accepted; None: no bound.

    Raises:
        ValueError: one line that says how a duration is written, or which range it must be in.
    """
    if text == "0":
        duration_ms = 0
    elif _TEXT.fullmatch(text) is None:
        missing = "has no unit" if re.fullmatch("[0-9]+", text, re.ASCII) else "is not a duration"
        raise ValueError(f"{_shown(text)} {missing}: {_FORM}")
    else:
        duration_ms = 0
        smallest_ms: int | None = None
        for count, unit in _PART.findall(text):
            unit_ms = UNITS_MS[unit]
            if smallest_ms is not None and unit_ms >= smallest_ms:
                raise ValueError(f"{_shown(text)}: units stand largest first, each once, like 1h30m")
            smallest_ms = unit_ms
            duration_ms += int(count) * unit_ms
    if duration_ms < low_ms or (high_ms is not None and duration_ms > high_ms):
        wanted = f"at least {format_duration(low_ms)}"
        if high_ms is not None:
            wanted = f"in {format_duration(low_ms)}..{format_duration(high_ms)}"
        raise ValueError(f"{_shown(text)} is out of range: it must be {wanted}")
    return duration_ms


def format_duration(duration_ms: int) -> str:
    """The shortest exact text of a duration, as `parse_duration_ms` reads it; negative ones get a sign in front."""
    if duration_ms == 0:
        return "0s"
    if duration_ms < 0:
        return "-" + format_duration(-duration_ms)
    parts: list[str] = []
    rest_ms = duration_ms
    for unit, unit_ms in UNITS_MS.items():
        count, rest_ms = divmod(rest_ms, unit_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…")
