"""The Lua scripts: what each takes per item, and its digest.

Every script gets the deadline in the node's own time as ``ARGV[1]`` (rule 6) and answers ``late``, or one answer per
item; an answer that starts with ``!`` is the code of a refused write. All keys are declared (rule 7). They carry no
``#!lua`` line: with one Redis refuses them at maxmemory, even those that only delete (PITFALLS).
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Final, NamedTuple

import coherd_server.adapters

LATE: Final = b"late"
"""Answer of a whole call that reached the node after its deadline: nothing was written."""


class Script(NamedTuple):
    """One script; one call carries any number of items on one node, on a cluster those of one slot."""

    name: str
    source: str
    sha: str
    fresh: bool
    """The first argument of an item is a fresh epoch, made when the call is packed, for that call only (rule 1)."""


def _load(name: str, *before: str, fresh: bool = False) -> Script:
    folder = files(coherd_server.adapters) / "lua"
    source = "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in ("late", *before, name))
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(), fresh)


PUT: Final = _load("put", "entry", "wake")
REMOVE: Final = _load("remove", "entry", "wake")
TOUCH: Final = _load("touch", "entry")
UNLINK_DEAD: Final = _load("unlink_dead", "entry")
MINT: Final = _load("mint", fresh=True)
INVALIDATE: Final = _load("invalidate", fresh=True)
GRANT: Final = _load("grant", "entry")
FILL: Final = _load("fill", "entry", "wake")
HOLD: Final = _load("hold", "wake")
CLAIM: Final = _load("claim")
ALL: Final = (PUT, REMOVE, TOUCH, UNLINK_DEAD, MINT, INVALIDATE, GRANT, FILL, HOLD, CLAIM)
WAKE_CHANNEL: Final = "coherd:wake"
"""Pub/sub channel on which the scripts name keys and epochs that changed while somebody waits."""
