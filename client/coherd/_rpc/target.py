"""Where the service is, as gRPC takes it."""

from __future__ import annotations

from typing import Final

_FORM: Final = "write host:port, like localhost:50051"


def check_target(target: str) -> str:
    """The target, if a service can be there: what gRPC would only find out call by call, as a lost connection.

    Raises:
        ValueError: it has no port, or is the address of a web page.
    """
    scheme, found, _ = target.partition("://")
    if found and scheme.lower() in ("http", "https"):
        raise ValueError(f"{target!r} is an address for browsers: {_FORM}")
    if ":" not in target:
        raise ValueError(f"{target!r} has no port: {_FORM}")
    return target
