"""The bearer token, as gRPC carries it."""

from __future__ import annotations

from typing import Final

NOT_CARRIED: Final = "the token has characters other than printable ASCII (a line break at its end?): gRPC carries none"


def is_carried(token: str) -> bool:
    """Whether gRPC can send the token; else every call would fail, in a way that names no cause."""
    return token.isascii() and token.isprintable()


def bearer_metadata(token: str | None) -> tuple[tuple[str, str], ...] | None:
    """What is sent with every call; None: nothing.

    Raises:
        ValueError: gRPC cannot carry the token. The error does not show it.
    """
    if token is None:
        return None
    if not is_carried(token):
        raise ValueError(NOT_CARRIED)
    return (("authorization", f"Bearer {token}"),)
