"""Where the store is: the URLs of ``--redis``.

::

    redis://[user:pass@]host[:6379][/db]      rediss:// with TLS        unix://[user:pass@]/path/to.sock[?db=1]
    redis+sentinel://[user:pass@]h1[:26379],h2/service[/db]             rediss+sentinel://
    redis+cluster://[user:pass@]h1[:6379],h2                            rediss+cluster://

Query options: ``db``; ``sentinel_username``, ``sentinel_password``; with TLS ``ssl_ca_certs``, ``ssl_certfile``,
``ssl_keyfile``, ``ssl_check_hostname`` (true/false), ``ssl_cert_reqs`` (required/none).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

MAX_DB: Final = 65_535
FILE_OPTIONS: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
"""Options that name a file."""
_TLS_OPTIONS: Final = FILE_OPTIONS | {"ssl_check_hostname", "ssl_cert_reqs"}
_SENTINEL_OPTIONS: Final = frozenset({"sentinel_username", "sentinel_password"})


class RedisUrlError(ValueError):
    """The URL cannot be used; the message is one line and shows neither user nor password."""


class Mode(enum.Enum):
    """How primaries are found."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """A parsed URL. Its `repr` is safe for logs: secrets are left out."""

    mode: Mode
    addresses: tuple[tuple[str, int], ...]
    """Server, sentinels, or cluster seeds; empty for a Unix socket."""
    path: str | None = None
    """Unix socket."""
    service: str | None = None
    """Sentinel's name of the primary."""
    db: int = 0
    tls: bool = False
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    tls_options: tuple[tuple[str, str | bool], ...] = ()

    def describe(self) -> str:
        """The target without user, password or options, for logs."""
        if self.path is not None:
            return f"unix://{self.path}"
        scheme = "rediss" if self.tls else "redis"
        if self.mode is not Mode.SINGLE:
            scheme += f"+{self.mode.value}"
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.addresses)
        tail = (f"/{self.service}" if self.service else "") + (f"/{self.db}" if self.db else "")
        return f"{scheme}://{hosts}{tail}"


def parse_redis_url(url: str) -> RedisTarget:
    """Parse a URL of the forms above.

    Raises:
        RedisUrlError: anything in it is unknown, missing or out of range.
    """
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise RedisUrlError("Redis URL: cannot be read") from None
    scheme, _, kind = parts.scheme.partition("+")
    if parts.fragment:
        raise RedisUrlError("Redis URL: a '#' in user or password must be written %23")
    if "@" in parts.path or "@" in parts.query:
        raise RedisUrlError("Redis URL: a '/' or '?' in user or password must be written %2F or %3F")
    userinfo, _, hosts = parts.netloc.rpartition("@")
    name, _, secret = userinfo.partition(":")
    username, password = unquote(name) or None, unquote(secret) or None
    if username and password is None:
        raise RedisUrlError("Redis URL: a user needs a password (user:password@, or :password@)")
    if parts.scheme == "unix":
        if hosts or not parts.path.startswith("/") or parts.path == "/":
            raise RedisUrlError("Redis URL: unix:// needs an absolute path, as in unix:///run/valkey.sock")
        _refuse_unknown(options, frozenset({"db"}))
        return RedisTarget(
            Mode.SINGLE,
            (),
            path=unquote(parts.path),
            db=_db(options.get("db", "0")),
            username=username,
            password=password,
        )
    if scheme not in {"redis", "rediss"} or (kind, "+" in parts.scheme) not in {
        ("", False),
        ("sentinel", True),
        ("cluster", True),
    }:
        raise RedisUrlError(
            "Redis URL: the scheme must be one of redis, rediss, unix, redis+sentinel, rediss+sentinel, redis+cluster, "
            "rediss+cluster"
        )
    mode, tls = Mode(kind or "single"), scheme == "rediss"
    known = frozenset({"db"})
    known |= _TLS_OPTIONS if tls else frozenset()
    known |= _SENTINEL_OPTIONS if mode is Mode.SENTINEL else frozenset()
    _refuse_unknown(options, known)
    addresses = tuple(_address(text, 26379 if mode is Mode.SENTINEL else 6379) for text in hosts.split(","))
    if mode is Mode.SINGLE and len(addresses) != 1:
        raise RedisUrlError("Redis URL: one host only; for several use redis+sentinel:// or redis+cluster://")
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    service = segments.pop(0) if mode is Mode.SENTINEL and segments else None
    if mode is Mode.SENTINEL and service is None:
        raise RedisUrlError(
            "Redis URL: redis+sentinel:// needs the service name, as in redis+sentinel://host:26379/mymaster"
        )
    if len(segments) > 1 or (segments and "db" in options):
        raise RedisUrlError("Redis URL: too many parts after the host")
    db = _db(segments[0] if segments else options.get("db", "0"))
    if mode is Mode.CLUSTER and db:
        raise RedisUrlError("Redis URL: a cluster has only database 0")
    return RedisTarget(
        mode,
        addresses,
        service=service,
        db=db,
        tls=tls,
        username=username,
        password=password,
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
        tls_options=tuple(_tls_option(key, options[key]) for key in sorted(_TLS_OPTIONS & options.keys())),
    )


def _refuse_unknown(options: dict[str, str], known: frozenset[str]) -> None:
    for option in options:
        if option not in known:
            names = ", ".join(sorted(known))
            raise RedisUrlError(f"Redis URL: option {option[:40]!r} is not known here; known: {names}")


def _address(text: str, default_port: int) -> tuple[str, int]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        port, colon = rest[1:], rest[:1]
        if not bracket or colon not in {"", ":"}:
            raise RedisUrlError("Redis URL: a host cannot be read")
    else:
        host, colon, port = text.partition(":")
    if not host:
        raise RedisUrlError("Redis URL: a host is missing")
    if not colon:
        return host, default_port
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise RedisUrlError("Redis URL: a port must be in 1..65535")
    return host, int(port)


def _db(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= MAX_DB):
        raise RedisUrlError(f"Redis URL: the database must be a number in 0..{MAX_DB}")
    return int(text)


def _tls_option(key: str, text: str) -> tuple[str, str | bool]:
    if key == "ssl_check_hostname":
        if text not in {"true", "false"}:
            raise RedisUrlError("Redis URL: ssl_check_hostname must be true or false")
        return key, text == "true"
    if key == "ssl_cert_reqs" and text not in {"required", "none"}:
        raise RedisUrlError("Redis URL: ssl_cert_reqs must be required or none")
    return key, text
