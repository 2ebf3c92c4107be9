"""What of an answer the near cache keeps: keys are marked before they are asked for [mark-before-asking]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from coherd._near import Mark, NearCache
from coherd._rpc.methods import BATCH_GET, Method, Request

_NO_TAGS: Final[dict[str, str]] = {}


def marks_of(near: NearCache, method: Method[Request, Any], request: Request, now_s: float) -> list[Mark | None] | None:
    """The marks of the keys a request asks for, in their order; None where its answer is never kept.

    Args:
        near: the near cache.
        method: the rpc.
        request: to it.
        now_s: now, on the clock of the near cache.
    """
    if method.keeps is None:
        return None
    keys = method.keeps(request)
    if len(keys) == 1:
        return [near.mark(keys[0], now_s)]
    return [near.mark(key, now_s) for key in keys] or None


def keep(
    near: NearCache, marks: Sequence[Mark | None], method: Method[Any, Any], answer: Any, *, serving: bool
) -> None:
    """End the marks of a request with its answer.

    Args:
        near: the near cache.
        marks: of `marks_of`.
        method: the rpc.
        answer: of it.
        serving: whether the stream that brought it still keeps the near cache coherent.
    """
    results = answer.results if method is BATCH_GET else (answer,)
    for mark, result in zip(marks, results, strict=False):
        if mark is None:
            continue
        hit = result.hit
        if not serving or not hit.near_cacheable or hit.stale:
            near.release(mark)
            continue
        near.keep(
            mark,
            payload=hit.value,
            negative=hit.negative,
            expires_s=mark.asked_at_s + hit.remaining_ttl_ms / 1000,
            extra_tags=dict(hit.extra_tags) if hit.extra_tags else _NO_TAGS,
        )
    for mark in marks[len(results) :]:
        if mark is not None:
            near.release(mark)
