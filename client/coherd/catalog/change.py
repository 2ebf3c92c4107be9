"""One difference between two versions of a catalog, how bad it is, and what to do. Pure."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Severity(enum.Enum):
    """What a change does to what is stored, and to those who still run the old version."""

    BREAKING = "breaking"
    """Entries that are stored are lost, or read as something else."""
    ONE_WAY = "one-way"
    """Entries that are stored are read as they were; readers of the old version misread those of the new one, while
    both run and after a rollback."""
    NOTICE = "notice"
    """Both versions read both; how long entries live, what invalidates them, who may use them, or a name changes."""


class Change(NamedTuple):
    """One difference."""

    severity: Severity
    element: str
    """``analytics``, ``analytics:daily`` or ``invalidation user``."""
    text: str
    """What changed, from what to what; one line."""
    todo: str = ""
    """What to do instead, or before; one line. Empty: nothing."""


NEW_RESOURCE = "declare a new resource under another name; entries of the old one expire, or are invalidated"
NEW_NUMBER = "keep the old field as it is, or reserve its number; add a field of another number and name"
READERS_FIRST = (
    "roll out everybody who reads it before anybody who writes it; a rollback needs an invalidation of the resource"
)
