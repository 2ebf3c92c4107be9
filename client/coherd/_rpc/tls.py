"""TLS of a client: what to trust, and what to show."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import grpc

Pem: TypeAlias = "bytes | str | Path"
"""PEM bytes, or the path of a PEM file."""


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """TLS to the server. Files are read when a connection is first needed, once per event loop.

    Raises:
        ValueError: only one of ``cert`` and ``key`` is given.
    """

    ca: Pem | None = None
    """Authorities to trust. Default: gRPC's built-in roots."""
    cert: Pem | None = None
    """The client's certificate chain, for mutual TLS."""
    key: Pem | None = field(default=None, repr=False)
    """Its private key."""
    server_name: str | None = None
    """Name the server's certificate must carry. Default: the host of the target."""

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise ValueError("TLS client authentication needs both cert and key")

    def credentials(self) -> grpc.ChannelCredentials:
        """Raises:
        OSError: a file cannot be read.
        """
        return grpc.ssl_channel_credentials(_read(self.ca), _read(self.key), _read(self.cert))


def _read(pem: Pem | None) -> bytes | None:
    if pem is None or isinstance(pem, bytes):
        return pem
    return Path(pem).read_bytes()
