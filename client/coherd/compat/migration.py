"""Key texts of older code to canonical keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from coherd.catalog.load import builtin_catalog
from coherd.compat.patterns import CachePatterns
from coherd.contract.reasons import Refusal
from coherd.v1.errors_pb2 import ErrorReason

_LEGACY: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    (
        re.compile(r"writing_stats:(?P<user>.+):(?P<days>0|[1-9][0-9]*)d", re.ASCII | re.DOTALL),
        lambda parts: CachePatterns.writing_stats(parts["user"], int(parts["days"])),
    ),
    (re.compile(r"topics:(?P<user>.+):list", re.DOTALL), lambda parts: CachePatterns.content_topics(parts["user"])),
    (re.compile(r"task_metrics:(?P<id>.+)", re.DOTALL), lambda parts: CachePatterns.celery_task_metrics(parts["id"])),
)


class CacheMigrationHelper:
    """Moves code and data over from older key texts."""

    @staticmethod
    def convert_legacy_key(key: str) -> str:
        """Canonical text of a key.

        ``writing_stats:<user>:30d``, ``topics:<user>:list`` and ``task_metrics:<id>`` are converted, their parts
        encoded as keys need it; a canonical key of the built-in catalog is returned as it is.

        Raises:
            Refusal: it is neither, or a part cannot stand in a key. The text is not shown.
        """
        if not isinstance(key, str):
            raise Refusal(
                ErrorReason.ERROR_REASON_KEY_INVALID, f"a key is text, not of type {type(key).__name__}", field="key"
            )
        try:
            return builtin_catalog().resolve(key).text
        except Refusal as refusal:
            for pattern, convert in _LEGACY:
                parts = pattern.fullmatch(key)
                if parts is not None:
                    return str(convert(parts))
            raise Refusal(
                ErrorReason.ERROR_REASON_KEY_INVALID,
                "neither a canonical key nor of a known older form (writing_stats:<user>:<days>d, topics:<user>:list, "
                f"task_metrics:<id>): {refusal}",
                field="key",
            ) from None
