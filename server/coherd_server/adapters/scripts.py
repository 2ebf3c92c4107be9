"""The Lua scripts: what each takes per item, and its digest.

Every script gets the deadline in the node's own time as ``ARGV[1]`` (rule 6) and answers ``late``, or one answer per
item; an answer that starts with ``!`` is the code of a refused write. All keys are declared (rule 7). They carry no
``#!lua`` line: with one Redis refuses them at maxmemory, even those that only delete (PITFALLS).
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Final, NamedTuple

LATE: Final = b"late"
"""Answer of a whole call that reached the node after its deadline: nothing was written."""


class Script(NamedTuple):
    """One script; one call carries any number of items on one node, on a cluster those of one slot."""

    name: str
    source: str
    sha: str
    fresh: bool
    """The first argument of an item is a fresh epoch, made when the call is packed, for that call only (rule 1)."""


def _load(name: str, *, entries: bool = False, fresh: bool = False) -> Script:
    folder = files(__package__) / "lua"
    parts = ["late.lua", *(["entry.lua"] if entries else []), f"{name}.lua"]
    source = "\n".join((folder / part).read_text("utf-8") for part in parts)
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(), fresh)


PUT: Final = _load("put", entries=True)
REMOVE: Final = _load("remove", entries=True)
TOUCH: Final = _load("touch", entries=True)
UNLINK_DEAD: Final = _load("unlink_dead", entries=True)
MINT: Final = _load("mint", fresh=True)
INVALIDATE: Final = _load("invalidate", fresh=True)
ALL: Final = (PUT, REMOVE, TOUCH, UNLINK_DEAD, MINT, INVALIDATE)
