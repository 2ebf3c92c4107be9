"""What of an answer the near cache keeps: keys are marked before they are asked for [mark-before-asking]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from coherd._near import Mark, NearCache

_NO_TAGS: Final[dict[str, str]] = {}


def marks_of(near: NearCache, kind: str, request: Any, now_s: float) -> list[Mark | None] | None:
    """The marks of the keys an operation asks for, in their order; None where its answer is never kept.

    Args:
        near: the near cache.
        kind: of the operation, as in `coherd.v1.Operation`.
        request: of the operation.
        now_s: now, on the clock of the near cache.
    """
    match kind:
        case "get" if not request.accept_stale:
            return [near.mark(request.key.text, now_s)]
        case "batch_get" if not request.accept_stale:
            return [near.mark(key.text, now_s) for key in request.keys]
        case "lease" if not request.renew:
            return [near.mark(request.key.text, now_s)]
    return None


def keep(near: NearCache, marks: Sequence[Mark | None], kind: str, answer: Any, *, serving: bool) -> None:
    """End the marks of an operation with its answer.

    Args:
        near: the near cache.
        marks: of `marks_of`.
        kind: of the operation.
        answer: to the operation.
        serving: whether the stream that brought it still keeps the near cache coherent.
    """
    results = answer.results if kind == "batch_get" else (answer,)
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
