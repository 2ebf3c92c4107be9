"""Arguments as older code gives them: numbers for ids, ISO dates, seconds."""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, cast

from coherd.catalog.declared import Kind
from coherd.catalog.load import builtin_catalog
from coherd.contract.keys import DateLike
from coherd.contract.limits import whole_number

IdLike: TypeAlias = str | int | uuid.UUID
"""An id: text, or what is written as text in one way only."""
MAX_TTL_S: Final = 10_000_000_000
"""More seconds than any TTL may have."""
_ISO_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def id_text(value: IdLike) -> str:
    """The text of an id; what is none is answered as it is, for its key to refuse it by name."""
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(int(value))
    return cast(str, value)


def today_utc() -> datetime.date:
    """What ``date=None`` means."""
    return datetime.datetime.now(datetime.UTC).date()


def day(date: DateLike | None) -> DateLike:
    """The day, of ISO text (``2025-08-06``) too; None: today in UTC."""
    if date is None:
        return today_utc()
    return date.replace("-", "") if isinstance(date, str) and _ISO_DATE.fullmatch(date) else date


def lifetime(ttl: int | None) -> datetime.timedelta | None:
    """The TTL of whole seconds.

    Raises:
        ValueError: it is no whole number, or negative.
    """
    return None if ttl is None else datetime.timedelta(seconds=whole_number("ttl (in seconds)", ttl, 0, MAX_TTL_S))


def identifiers_of(domain: str, resource: str, values: Mapping[str, object]) -> dict[str, object]:
    """Identifiers of a key with ids and days as keys have them.

    Raises:
        TypeError: they are no mapping.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"identifiers is a mapping from names to values, not of type {type(values).__name__}")
    spec = builtin_catalog().domains.get(domain)
    declared = None if spec is None else spec.resources.get(resource)
    kinds = {} if declared is None else {identifier.name: identifier.kind for identifier in declared.identifiers}
    return {name: _plain(kinds.get(name, Kind.STRING), value) for name, value in values.items()}


def _plain(kind: Kind, value: Any) -> object:
    if kind is Kind.STRING:
        return id_text(value)
    return day(value) if kind is Kind.DATE and isinstance(value, str) else value
