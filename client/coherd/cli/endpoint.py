"""Where a server is: ``HOST:PORT`` as text, and whether anything listens there."""

from __future__ import annotations

import re
import socket
import time
from typing import Final, NamedTuple

from coherd.contract.durations import format_duration

_FORM: Final = "write HOST:PORT, like localhost:50051"


class EndpointError(ValueError):
    """The text is no HOST:PORT. One line that says what is wrong with it."""


class NobodyThere(Exception):
    """No connection can be made. One line that says why."""


class Endpoint(NamedTuple):
    """A host by name or address, and a port."""

    host: str
    port: int


def parse_endpoint(text: str) -> Endpoint:
    """The endpoint of text like ``localhost:50051`` or ``[::1]:50051``.

    Raises:
        EndpointError: it is none.
    """
    if "://" in text:
        raise EndpointError(f"{text!r} has a scheme: {_FORM}")
    host, colon, port = text.rpartition(":")
    if not colon:
        raise EndpointError(f"{text!r} has no port: {_FORM}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise EndpointError(f"{text!r} has more than one colon: {_FORM}, and an IPv6 address as [::1]:50051")
    if not host:
        raise EndpointError(f"{text!r} has no host: {_FORM}")
    if re.search(r"[\s/\[\]@]", host):
        raise EndpointError(f"{text!r} has no usable host: {_FORM}")
    if not re.fullmatch("[0-9]{1,5}", port, re.ASCII) or not 1 <= int(port) <= 65_535:
        raise EndpointError(f"{text!r}: the port must be in 1..65535: {_FORM}")
    return Endpoint(host, int(port))


def check_listening(endpoint: Endpoint, shown: str, timeout_s: float) -> None:
    """Make a connection and close it: refused, not found and silent are told apart at once, which gRPC does not do.

    Raises:
        NobodyThere: no address of the host takes a connection within the time.
    """
    end_s = time.monotonic() + timeout_s
    try:
        addresses = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NobodyThere(f"{shown}: there is no host named {endpoint.host!r}") from None
    failure = NobodyThere(f"{shown}: the host has no address")
    for family, kind, protocol, _, address in addresses:
        with socket.socket(family, kind, protocol) as probe:
            probe.settimeout(max(end_s - time.monotonic(), 0.001))
            try:
                probe.connect(address)
                return
            except TimeoutError:
                waited = format_duration(round(timeout_s * 1000))
                failure = NobodyThere(f"{shown} did not answer within {waited}")
            except ConnectionRefusedError:
                failure = NobodyThere(f'nothing answers at {shown}; is "coherd serve" running there?')
            except OSError as error:
                failure = NobodyThere(f"{shown}: {error.strerror or error}")
    raise failure
