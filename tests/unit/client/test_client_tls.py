"""TLS, one-sided and mutual, against a server with certificates made for the test."""

from __future__ import annotations

import subprocess
from pathlib import Path

import grpc
import pytest

from coherd import CacheClient, NotServed, OpenKey, TlsConfig, Unavailable

KEY = OpenKey("content", "drafts", {"user": "u1"})


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate that is its own authority: ``cert.pem``, ``key.pem``."""
    folder = tmp_path_factory.mktemp("pki")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout key.pem -out cert.pem "
        "-subj /CN=cache.test -addext subjectAltName=DNS:cache.test"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder


async def ask(pki: Path, tls: TlsConfig, *, mutual: bool) -> None:
    """A call against an empty TLS server, which answers that it knows no such operation."""
    key, cert = (pki / "key.pem").read_bytes(), (pki / "cert.pem").read_bytes()
    server = grpc.aio.server()
    credentials = grpc.ssl_server_credentials([(key, cert)], cert if mutual else None, require_client_auth=mutual)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        async with CacheClient.connect(f"127.0.0.1:{port}", tls=tls, timeout_ms=3_000) as cache:
            await cache.get(KEY)
    finally:
        await server.stop(None)


async def test_paths_and_bytes(pki: Path) -> None:
    for ca in (pki / "cert.pem", str(pki / "cert.pem"), (pki / "cert.pem").read_bytes()):
        with pytest.raises(NotServed):
            await ask(pki, TlsConfig(ca=ca, server_name="cache.test"), mutual=False)


async def test_mutual(pki: Path) -> None:
    own = TlsConfig(ca=pki / "cert.pem", cert=pki / "cert.pem", key=pki / "key.pem", server_name="cache.test")
    with pytest.raises(NotServed):
        await ask(pki, own, mutual=True)
    with pytest.raises(Unavailable):
        await ask(pki, TlsConfig(ca=pki / "cert.pem", server_name="cache.test"), mutual=True)


async def test_a_server_that_is_not_trusted_or_another_is_not_talked_to(pki: Path) -> None:
    for tls in (TlsConfig(server_name="cache.test"), TlsConfig(ca=pki / "cert.pem", server_name="other.test")):
        with pytest.raises(Unavailable):
            await ask(pki, tls, mutual=False)


def test_half_an_identity_is_refused_and_keys_are_not_shown() -> None:
    with pytest.raises(ValueError, match="both cert and key"):
        TlsConfig(cert=b"cert")
    assert "secret" not in repr(TlsConfig(cert=b"cert", key=b"secret"))
