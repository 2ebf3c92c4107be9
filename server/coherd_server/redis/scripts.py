"""The Lua scripts: what each takes per item, and its digest.

Every script gets the deadline in the node's own time as ``ARGV[1]`` [node-time-deadline] and answers ``late``, or one
answer per item; an answer that starts with ``!`` is the code of a refused write. All keys are declared, and what could
be refused comes first [all-or-nothing]. They carry no ``#!lua`` line [plain-scripts].
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import Final, NamedTuple, cast

import coherd_server.redis

Args = tuple[bytes | str | int, ...]
Merge = Callable[[Args, Args], Args]

LATE: Final = b"late"
"""Answer of a whole call that reached the node after its deadline: nothing was written."""


class Script(NamedTuple):
    """One script; one call carries any number of items on one node, on a cluster those of one slot."""

    name: str
    source: str
    sha: str
    fresh: bool
    """The first argument of an item is a fresh epoch, made when the call is packed, for that call only
    [fresh-id-once]."""
    merge: Merge | None
    """How the items of several callers in one batch that name the same key become one [join-before-sending]; None:
    they do not."""
    last: bool
    """Goes behind all other commands of its batch."""
    numbered: bool
    """Its items are laid out as ``items.lua`` says: the first argument of each is its numbers, which are passed as one;
    its last key is its fence, which goes behind all others."""
    tells_token: bool
    """Behind the answers comes the node's new fencing token (`fencing.py`); all items name the same fence."""


def _load(name: str, *before: str, fresh: bool = False, merge: Merge | None = None, last: bool = False) -> Script:
    folder = files(coherd_server.redis) / "lua"
    source = "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in ("late", *before, name))
    digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return Script(
        " ".join((*before, name)), source, digest, fresh, merge, last, "items" in before, "fence_string" in before
    )


def _longest(args: Args, other: Args) -> Args:
    """The longer of two lifetimes of one epoch."""
    return (max(int(args[0]), int(other[0])),)


def _any(args: Args, other: Args) -> Args:
    """Either: all callers ask the same."""
    return args


def _joined(args: Args, other: Args) -> Args:
    """One entry of the log for two: the larger bound, all names, and whether anybody waits."""
    (keep, names, awaited), (other_keep, other_names, other_awaited) = args, other
    return (
        max(int(keep), int(other_keep)),
        "\n".join(cast(tuple[str, str], (names, other_names))),
        max(int(awaited), int(other_awaited)),
    )


_WRITES: Final = ("entry", "wake", "items")
PUT: Final = _load("put", *_WRITES, "fence_string")
REMOVE: Final = _load("remove", *_WRITES, "fence_string")
FILL: Final = _load("fill", *_WRITES, "fence_string")
FENCING_TOKEN: Final = _load("fencing_token", fresh=True, merge=_any)
PUT_APART: Final = _load("put", *_WRITES, "fence_per_key")
REMOVE_APART: Final = _load("remove", *_WRITES, "fence_per_key")
FILL_APART: Final = _load("fill", *_WRITES, "fence_per_key")
TOUCH: Final = _load("touch", "entry")
UNLINK_DEAD: Final = _load("unlink_dead", "entry")
ENSURE_EPOCH: Final = _load("ensure_epoch", fresh=True, merge=_longest)
INVALIDATE: Final = _load("invalidate", fresh=True, merge=_longest)
GRANT: Final = _load("grant", "entry")
RENEW_LEASE: Final = _load("renew_lease", "wake")
CLAIM: Final = _load("claim")
APPEND: Final = _load("append", "log", fresh=True, merge=_joined, last=True)
JOIN: Final = _load("join", "log", fresh=True)
FORGET: Final = _load("forget")
ALL: Final = (
    *(PUT, REMOVE, FILL, FENCING_TOKEN, PUT_APART, REMOVE_APART, FILL_APART),
    *(TOUCH, UNLINK_DEAD, ENSURE_EPOCH, INVALIDATE, GRANT, RENEW_LEASE, CLAIM, APPEND, JOIN, FORGET),
)
WAKE_CHANNEL: Final = "coherd:wake"
"""Pub/sub channel on which the scripts name keys and epochs that changed while somebody waits."""
NEAR_CHANNEL: Final = "coherd:near"
"""Pub/sub channel on which the log's scripts say what a member has published."""
