"""Where the service is and who calls it, as gRPC takes them: the target, and the bearer token."""

from __future__ import annotations

from typing import Final

_FORM: Final = "write host:port, like localhost:50051"
NOT_CARRIED: Final = "the token has characters other than printable ASCII (a line break at its end?): gRPC carries none"


def check_target(target: str) -> str:
    """The target, if a service can be there: what gRPC would only find out call by call, as a lost connection.

    Raises:
        ValueError: it has no port, or is the address of a web page.
    """
    scheme, separator, _ = target.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        raise ValueError(f"{target!r} is an address for browsers: {_FORM}")
    if ":" not in target:
        raise ValueError(f"{target!r} has no port: {_FORM}")
    return target


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
