"""How parameters are read from the command line. Each raises `click.BadParameter` with one line."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import click

from coherd._rpc.endpoint import NOT_CARRIED, is_carried
from coherd.contract.durations import parse_duration_ms
from coherd.contract.keys import is_name

LONGEST_MS: Final = 1 << 56
"""More is taken for that much: two million years, a timedelta holds no more than about that."""


def ttl_ms(text: str) -> int:
    """Milliseconds of a time to live like ``30m``. Its maximum is the resource's: the server says so."""
    return _duration_ms(text, 1, None)


def timeout_ms(text: str) -> int:
    """Milliseconds of a time-out like ``5s``."""
    return _duration_ms(text, 1, 3_600_000)


def interval_ms(text: str) -> int:
    """Milliseconds between two looks, like ``2s``."""
    return _duration_ms(text, 100, 3_600_000)


def tag_pair(text: str) -> tuple[str, str]:
    """Name and value of an extra tag like ``user=user123``."""
    name, equals, value = text.partition("=")
    if not equals or not value or not is_name(name):
        raise click.BadParameter(f"{text!r} is no tag: write NAME=VALUE, like user=user123")
    return name, unicode_text(value)


def unicode_text(text: str) -> str:
    """Text that can be sent: the bytes of the command line were UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise click.BadParameter(f"{text!r} is not UTF-8") from None
    return text


def token(text: str) -> str:
    """A bearer token; no error shows it."""
    if not is_carried(text):
        raise click.BadParameter(NOT_CARRIED)
    return text


def timedelta_of(duration_ms: int | None) -> timedelta | None:
    """A TTL as the client takes it."""
    return None if duration_ms is None else timedelta(milliseconds=duration_ms)


def _duration_ms(text: str, low_ms: int, high_ms: int | None) -> int:
    try:
        return min(parse_duration_ms(text, low_ms=low_ms, high_ms=high_ms), LONGEST_MS)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
