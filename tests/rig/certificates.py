"""Certificates for tests of TLS: an authority and what it signs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import trustme


class Pair(NamedTuple):
    """Files of a certificate and its private key, PEM."""

    cert: Path
    key: Path

    @property
    def pem(self) -> tuple[bytes, bytes]:
        """Key and certificate, in the order gRPC takes them."""
        return self.key.read_bytes(), self.cert.read_bytes()


class Authority:
    """Signs certificates for localhost."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._authority = trustme.CA(organization_name=name)
        self.cert = directory / f"{name}.pem"
        """Its own certificate."""
        self._authority.cert_pem.write_to_path(self.cert)

    def sign(self, name: str) -> Pair:
        """A certificate with this common name."""
        made = Pair(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        signed = self._authority.issue_cert("localhost", "127.0.0.1", common_name=name)
        signed.private_key_pem.write_to_path(made.key)
        made.cert.write_bytes(b"".join(part.bytes() for part in signed.cert_chain_pems))
        return made
