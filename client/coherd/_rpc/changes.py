"""What an operation of this client changes: its near cache drops that when it is done, failed, or not known."""

from __future__ import annotations

from coherd._near import NearCache
from coherd._rpc.methods import Method, Request, Response


def drop_changed(near: NearCache, method: Method[Request, Response], request: Request, answer: Response | None) -> None:
    """Drop what a request changes, if it is not a read [own-changes-drop]; the client's near caches in other event
    loops drop everything.

    Args:
        near: the near cache.
        method: the rpc.
        request: to it.
        answer: None: it failed, or was given up: it may have been done, or may be still.
    """
    if method.changes is None:
        return
    for other in near.elsewhere():
        other.revoke()
    changed = method.changes(request, answer)
    if changed is None:
        near.flush()
    else:
        near.drop_tags(changed.tags)
        near.drop_keys(changed.keys)
