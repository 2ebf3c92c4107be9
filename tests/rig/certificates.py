"""Certificates for tests of TLS, made with the `openssl` command: an authority and what it signs."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Pair(NamedTuple):
    """Files of a certificate and its private key, PEM."""

    cert: Path
    key: Path

    @property
    def pem(self) -> tuple[bytes, bytes]:
        """Key and certificate, in the order gRPC takes them."""
        return self.key.read_bytes(), self.cert.read_bytes()


class Authority:
    """Signs certificates for localhost; valid for two days."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._pair = Pair(directory / f"{name}.pem", directory / f"{name}.key")
        self._openssl("req", "-x509", *_NEW_KEY, "-days", "2", "-subj", f"/CN={name}", *self._out(self._pair))

    @property
    def cert(self) -> Path:
        """Its own certificate."""
        return self._pair.cert

    def sign(self, name: str) -> Pair:
        """A certificate with this common name."""
        made = Pair(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        request, extensions = self._directory / f"{name}.csr", self._directory / f"{name}.ext"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        self._openssl("req", *_NEW_KEY, "-subj", f"/CN={name}", *self._out(Pair(request, made.key)))
        authority = ("-CA", str(self._pair.cert), "-CAkey", str(self._pair.key), "-CAcreateserial")
        files = ("-in", str(request), "-out", str(made.cert), "-extfile", str(extensions))
        self._openssl("x509", "-req", "-days", "2", *authority, *files)
        return made

    @staticmethod
    def _out(pair: Pair) -> tuple[str, ...]:
        return "-out", str(pair.cert), "-keyout", str(pair.key)

    @staticmethod
    def _openssl(*args: str) -> None:
        done = subprocess.run(["openssl", *args], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, done.stderr
