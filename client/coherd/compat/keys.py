"""Names of domains, keys from parts, and common TTLs."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from coherd.catalog.load import builtin_catalog
from coherd.compat.arguments import identifiers_of


class CacheDomain(enum.StrEnum):
    """The domains of the built-in catalog."""

    ANALYTICS = "analytics"
    PSYCHOLOGY = "psychology"
    CRISIS = "crisis"
    MAINTENANCE = "maintenance"
    SESSION = "session"
    AI_MODEL = "ai_model"
    CONTENT = "content"
    CELERY = "celery"


class CacheTTL:
    """Common TTLs in seconds. Setters need none: the catalog has one for every resource."""

    FIVE_MINUTES: Final = 300
    HALF_HOURLY: Final = 1_800
    HOURLY: Final = 3_600
    DAILY: Final = 86_400
    WEEKLY: Final = 604_800


class CacheKeyBuilder:
    """Canonical key text from parts."""

    @staticmethod
    def build_key(
        domain: CacheDomain | str,
        resource: str,
        identifiers: Mapping[str, object] | None = None,
        suffix: str | None = None,
    ) -> str:
        """``content:topics:user:user123`` of ``CacheDomain.CONTENT, "topics", {"user": "user123"}``.

        Args:
            domain: of the built-in catalog.
            resource: of the domain; any lower snake case name, since the built-in domains are open.
            identifiers: typed values or their canonical text; of an undeclared resource text, in the order given.
                For text also integers and UUIDs, for days ISO text.
            suffix: text behind the identifiers.

        Raises:
            Refusal: a part is unknown, missing, of the wrong type, or not allowed in a key.
        """
        return builtin_catalog().build(
            str(domain), resource, identifiers_of(str(domain), resource, identifiers or {}), suffix
        )
