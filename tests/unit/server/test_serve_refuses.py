"""`coherd serve` with what it cannot use: one line that names it, and a non-zero exit. In this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from coherd_server.cli import doctor, serve
from rig.certificates import Authority

SECRET = "s3cret"
NO_REDIS = ("--redis", "redis://127.0.0.1:1")


def refusal(*args: str, environ: dict[str, str] | None = None) -> str:
    """The line that `coherd serve` ends with."""
    result = CliRunner().invoke(serve, ["--listen", "127.0.0.1:0", *args], env=environ or {}, catch_exceptions=False)
    assert result.exit_code not in (0, None)
    assert "ready" not in result.output
    assert "Traceback" not in result.output
    [line] = result.output.strip().splitlines()
    return line.removeprefix("Error: ")


def test_a_setting(tmp_path: Path) -> None:
    assert refusal("--workers", "0").startswith("--workers: ")
    assert refusal(environ={"COHERD_REDIS_TIMEOUT": "soon"}).startswith("COHERD_REDIS_TIMEOUT: ")
    file = tmp_path / "c.toml"
    file.write_text("[ttl.analytics]\nttl = '1 hour'\n")
    assert refusal("--config", str(file)).startswith(f"{file}:2: ttl.analytics.ttl: ")
    assert refusal(environ={"COHERD_CONFIG": str(file)}).startswith(f"{file}:2: ")
    assert refusal("--config", str(tmp_path / "none")).startswith(str(tmp_path / "none"))


def test_an_address_for_everybody() -> None:
    line = refusal("--listen", "0.0.0.0:0")
    assert line.startswith("--listen: ")
    assert "loopback" in line


@pytest.mark.parametrize(
    "url",
    ["localhost:6379", f"http://u:{SECRET}@h", f"redis://:{SECRET}@h:0", "redis+sentinel://h", "redis://h?x=1", " "],
)
def test_a_redis_url(url: str, tmp_path: Path) -> None:
    for line in (refusal("--redis", url), refusal(environ={"COHERD_REDIS": url})):
        assert "Redis URL" in line
        assert SECRET not in line
    assert refusal("--redis", url).startswith("--redis: ")
    assert refusal(environ={"COHERD_REDIS": url}).startswith("COHERD_REDIS: ")
    file = tmp_path / "c.toml"
    file.write_text(f"# where\nredis = '{url}'\n")
    assert refusal("--config", str(file)).startswith(f"{file}:2: ")


@pytest.mark.parametrize(
    ("name", "lines", "words"),
    [
        ("nowhere", ["ttl = '1h'"], "no such domain or resource"),
        ("analytics:nothing", ["ttl = '1h'"], "no such domain or resource"),
        ("analytics", ["ttl = '0'"], "ttl must be in 1ms..366d, not 0s"),
        ("analytics", ["ttl = '367d'"], "ttl must be in"),
        ("analytics", ["ttl = '2h'", "max = '1h'"], "max must be in"),
        ("analytics:daily", ["stale = '31d'"], "stale must be in"),
        ("analytics:daily", ["jitter = 0.6"], "jitter must be in"),
        ("crisis", ["early_refresh = -1"], "early_refresh must be in"),
    ],
)
def test_a_ttl_override(tmp_path: Path, name: str, lines: list[str], words: str) -> None:
    file = tmp_path / "coherd.toml"
    text = f'workers = 1\n\n[ttl."{name}"]\n' + "\n".join(lines) + "\n"
    file.write_text(text)
    line = refusal("--config", str(file))
    assert line.startswith(f"{file}:3: "), line
    assert repr(name) in line
    assert words in line


def test_a_catalog_file(tmp_path: Path) -> None:
    missing = tmp_path / "none.binpb"
    for line, origin in (
        (refusal("--catalog", str(missing)), "--catalog"),
        (refusal(environ={"COHERD_CATALOG": str(missing)}), "COHERD_CATALOG"),
    ):
        assert line.startswith(f"{origin}: {missing}: cannot be read")
    bad = tmp_path / "bad.binpb"
    empty = FileDescriptorSet(file=[FileDescriptorProto(name="x.proto", syntax="proto3")])
    for content in (b"\xff\xff\xff", b"", b"syntax = 'proto3';", empty.SerializeToString()):
        bad.write_bytes(content)
        line = refusal("--catalog", str(bad), "--no-builtin-catalog")
        assert line.startswith("--catalog: ")
        assert str(bad) in line or "the catalog is empty" in line
    line = refusal("--no-builtin-catalog")
    assert line.startswith("--builtin-catalog: ")
    assert "own catalog" in line


def test_tls_files_that_are_not_there(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    line = refusal(*NO_REDIS, "--tls-cert", str(cert), "--tls-key", str(key))
    assert line.startswith("--tls-key: ")
    assert "No such file" in line
    assert refusal(*NO_REDIS, "--tls-cert", str(cert)).startswith("--tls-cert: ")


def test_tls_files_that_cannot_be_used(tmp_path: Path) -> None:
    """Looked at before anything listens: the error names the setting, not the port."""
    authority = Authority(tmp_path, "ca")
    good, other = authority.sign("localhost"), authority.sign("other")
    junk = tmp_path / "junk.pem"
    junk.write_text("not a certificate\n")
    for cert, key in ((junk, good.key), (good.cert, junk), (good.cert, other.key), (good.key, good.cert)):
        line = refusal(*NO_REDIS, "--tls-cert", str(cert), "--tls-key", str(key))
        assert line.startswith("--tls-cert: ")
        assert str(cert) in line
        assert "port" not in line
        assert not line.endswith("None")
    pair = ("--tls-cert", str(good.cert), "--tls-key", str(good.key))
    line = refusal(*NO_REDIS, *pair, "--tls-client-ca", str(junk))
    assert line.startswith("--tls-client-ca: ")
    assert str(junk) in line
    assert "127.0.0.1:1" in refusal(*NO_REDIS, *pair, "--tls-client-ca", str(authority.cert)), "these can be used"


def test_doctor_needs_a_store() -> None:
    result = CliRunner().invoke(doctor, [], env={})
    assert result.exit_code != 0
    assert "--redis" in result.output
    assert "of an embedded Valkey the one that the server prints at its start" in " ".join(result.output.split())
    result = CliRunner().invoke(doctor, ["--redis", "redis://127.0.0.1:1"])
    assert result.exit_code != 0
    assert "127.0.0.1:1" in result.output
    assert "Traceback" not in result.output
