"""What an operation of this client changes: its near cache drops that when it is done, failed, or not known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from coherd._near import NearCache

Names = Callable[[Any], Sequence[str]]

READS: Final = frozenset({"get", "batch_get", "lease", "batch_lease"})
"""Operations that change no value."""
KEYS: Final[dict[str, Names]] = {
    "set": lambda request: (request.key.text,),
    "fill": lambda request: (request.set.key.text,),
    "delete": lambda request: (request.key.text,),
    "touch": lambda request: (request.key.text,),
    "batch_set": lambda request: [item.key.text for item in request.items],
    "batch_fill": lambda request: [item.set.key.text for item in request.items],
}
"""Keys of the requests that name what they change by key."""


def drop_changed(near: NearCache, kind: str, request: Any, answer: Any | None) -> None:
    """Drop what a request changes, if it is not a read [own-changes-drop]; the client's near caches in other event
    loops drop everything.

    Args:
        near: the near cache.
        kind: of the operation, as in `coherd.v1.Operation`.
        request: of the operation.
        answer: None: it failed, or was given up: it may have been done, or may be still.
    """
    if kind in READS:
        return
    for other in near.elsewhere():
        other.revoke()
    keys = KEYS.get(kind)
    if keys is not None:
        near.drop_keys(keys(request))
    elif kind == "invalidate":
        if answer is None:
            near.flush()  # which tags a selector stands for is said by the answer only
        else:
            near.drop_tags(answer.tags)
            near.drop_keys(selector.key.text for selector in request.selectors if selector.HasField("key"))
