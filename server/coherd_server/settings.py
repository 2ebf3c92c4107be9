"""The settings of `coherd serve`: their names, defaults, bounds, and what must fit together."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    field_validator,
    model_validator,
)

from coherd.catalog.overrides import TtlOverride
from coherd.contract.durations import parse_duration_ms
from coherd.contract.near_cache import NearCacheMode
from coherd_server.core.near.terms import DEFAULT_LEASE_MS, MAX_LEASE_MS, MIN_LEASE_MS, Terms
from coherd_server.redis.redis_url import parse_redis_url

MESSAGE_SPARE_BYTES: Final = 1_024
"""Of a message, what may be needed besides its value: key, options, framing."""
SIZES: Final = {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}
_SIZE: Final = re.compile(r"(\d+)\s*([kmg]?b?)", re.IGNORECASE)
_PREFIX: Final = re.compile(r"[A-Za-z0-9_.:-]*")
_HOST: Final = re.compile(r"\[[0-9A-Fa-f:.%A-Za-z]+\]|[A-Za-z0-9_.-]+")


class SettingsError(ValueError):
    """The settings cannot be used. One line per problem, each beginning with where the value came from."""


def parse_duration(value: object) -> object:
    """Milliseconds of text like ``30m``; anything else as it is."""
    return parse_duration_ms(value) if isinstance(value, str) else value


def parse_size(value: object) -> object:
    """Bytes of text like ``64mb``; anything else as it is.

    Raises:
        ValueError: the text is not a size.
    """
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise ValueError('a size is a number of bytes, or one with a unit: "512kb", "64mb", "1gb"')
    unit = match[2].lower()
    return int(match[1]) * SIZES[unit if unit.endswith("b") or not unit else unit + "b"]


DurationMs = Annotated[int, BeforeValidator(parse_duration)]
"""Milliseconds; text like ``30m`` is accepted."""
SizeBytes = Annotated[int, BeforeValidator(parse_size)]
"""Bytes; text like ``64mb`` is accepted."""


class TtlSetting(BaseModel):
    """Override of one domain's or resource's TTL policy: table ``[ttl."analytics:daily"]``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ttl: DurationMs | None = None
    max: DurationMs | None = None
    stale: DurationMs | None = None
    negative: DurationMs | None = None
    jitter: float | None = None
    early_refresh: float | None = None

    def override(self) -> TtlOverride:
        """The override these settings ask for."""
        return TtlOverride(self.ttl, self.max, self.stale, self.negative, self.jitter, self.early_refresh)


class Settings(BaseModel):
    """All settings of `coherd serve`. Field names are those of the TOML file, flags and environment."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    listen: str = "127.0.0.1:50051"
    """Address and port; port 0 takes a free one."""
    insecure: bool = False
    """Serve addresses other than loopback without TLS and without tokens."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes on the port."""
    redis: str | None = None
    """URL of Redis or Valkey; without it an embedded Valkey is started."""
    key_prefix: str = Field(default="", max_length=64)
    """Goes before every name in Redis; separates environments."""
    redis_connections: int = Field(default=2, ge=1, le=64)
    """Connections per primary and worker."""
    redis_timeout: DurationMs = Field(default=1_000, ge=10, le=60_000)
    """How long one batch may wait for Redis; a call waits at most twice as long."""
    embedded_memory: SizeBytes = Field(default=256 << 20, ge=1 << 20)
    """maxmemory of the embedded Valkey."""
    embedded_dir: str | None = None
    """Directory in which the embedded Valkey keeps snapshots; without it nothing outlives the server."""
    catalog: tuple[str, ...] = ()
    """Compiled descriptor sets of own catalogs."""
    builtin_catalog: bool = True
    """Serve the built-in catalog too."""
    max_value_bytes: SizeBytes = Field(default=1 << 20, ge=1, le=512 << 20)
    """Longest value."""
    max_message_bytes: SizeBytes = Field(default=16 << 20, ge=4096, le=1 << 30)
    """Longest request or response, batches included."""
    max_batch_items: int = Field(default=10_000, ge=1, le=100_000)
    """Most items of one batch."""
    max_in_flight: int = Field(default=4_096, ge=1)
    """Unary calls served at one time and worker."""
    census_interval: DurationMs = Field(default=60_000, ge=100, le=86_400_000)
    """Time between two walks over the keyspace that count keys and unlink dead entries."""
    drain_grace: DurationMs = Field(default=5_000, ge=0, le=600_000)
    """How long calls in flight may take to end after SIGTERM."""
    session_age: DurationMs = Field(default=200_000, ge=100, le=86_400_000)
    """With several workers a session is asked to move after about this long, before its connection is."""
    tls_cert: str | None = None
    """PEM file with the server's certificate chain."""
    tls_key: str | None = None
    """PEM file with its private key."""
    tls_client_ca: str | None = None
    """PEM file with the authorities of client certificates; turns mTLS on."""
    tokens: dict[str, str] = Field(default_factory=dict)
    """Principal to the hex SHA-256 of its bearer token; only in the file."""
    ttl: dict[str, TtlSetting] = Field(default_factory=dict)
    """Overrides by ``domain`` or ``domain:resource``; only in the file."""
    near_cache: dict[str, NearCacheMode] = Field(default_factory=dict)
    """Overrides of where clients keep values, by domain: ``off``, ``push`` or ``strict``; only in the file. The same on
    all servers of a store."""
    near_cache_lease: DurationMs = Field(default=DEFAULT_LEASE_MS, ge=MIN_LEASE_MS, le=MAX_LEASE_MS)
    """Longest time a near cache serves without hearing from its server. The same on all servers of a store."""
    near_cache_interest: int = Field(default=100_000, ge=100, le=10_000_000)
    """Most keys and tags of a session's near cache that are remembered; beyond them it begins anew."""
    near_cache_log_length: int = Field(default=100_000, ge=100, le=100_000_000)
    """About how many changes are kept for servers that lag behind."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"
    """``auto``: console on a terminal, JSON otherwise."""

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    def origin(self, *path: str) -> str:
        """Where a setting came from: flag, variable or ``file:line``; ``settings`` for one that was not given."""
        return self._origins.get(".".join(path)) or self._origins.get(path[0], "settings")

    @field_validator("redis")
    @classmethod
    def _redis(cls, value: str | None) -> str | None:
        if value is not None:
            parse_redis_url(value)
        return value

    @field_validator("key_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if not _PREFIX.fullmatch(value):
            raise ValueError("a key prefix consists of letters, digits and _ . : -")
        return value

    @field_validator("tokens")
    @classmethod
    def _digests(cls, value: dict[str, str]) -> dict[str, str]:
        for name, digest in value.items():
            if not name:
                raise ValueError("a principal has a name")
            if not re.fullmatch("[0-9a-fA-F]{64}", digest):
                raise ValueError(f"token of {name!r}: give the hex SHA-256 of the token, not the token")
        digests = [digest.lower() for digest in value.values()]
        for name, digest in value.items():
            if digests.count(digest.lower()) > 1:
                raise ValueError(f"token of {name!r}: another principal has it, too")
        return value

    @field_validator("catalog", "embedded_dir", "tls_cert", "tls_key", "tls_client_ca")
    @classmethod
    def _paths(cls, value: tuple[str, ...] | str | None) -> tuple[str, ...] | str | None:
        if any("\0" in path for path in (value if isinstance(value, tuple) else (value or "",))):
            raise ValueError("a path holds no NUL")
        return value

    @field_validator("listen")
    @classmethod
    def _address(cls, value: str) -> str:
        split_address(value)
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Settings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together")
        if self.tls_client_ca and not self.tls_cert:
            raise ValueError("tls_client_ca needs tls_cert and tls_key")
        if not self.builtin_catalog and not self.catalog:
            raise ValueError("without builtin_catalog at least one own catalog is needed")
        if self.max_value_bytes > self.max_message_bytes - MESSAGE_SPARE_BYTES:
            raise ValueError(
                f"max_value_bytes of {self.max_value_bytes} fits no message: max_message_bytes must be at least "
                f"{MESSAGE_SPARE_BYTES} more, and is {self.max_message_bytes}"
            )
        host, _ = split_address(self.listen)
        if not is_loopback(host) and not self.insecure and not (self.tls_cert and (self.tls_client_ca or self.tokens)):
            raise ValueError(
                f"{host} is no loopback address to listen on; "
                "configure TLS with tokens or client certificates, or set insecure"
            )
        return self

    @property
    def access_configured(self) -> bool:
        """Whether callers can show a credential."""
        return bool(self.tokens or self.tls_client_ca)

    @property
    def near_cache_terms(self) -> Terms:
        """The times and bounds of near caches."""
        return Terms(lease_ms=self.near_cache_lease, interest_names=self.near_cache_interest)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[::1]:port``.

    Raises:
        ValueError: it is neither.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError('an address is written "host:port", the port in 0..65535')
    bracketed = host.startswith("[") and host.endswith("]")
    if (":" in host) is not bracketed:
        raise ValueError('an IPv6 address, and nothing else, stands in brackets, like "[::1]:50051"')
    if not _HOST.fullmatch(host):
        raise ValueError("a host is a name or an address")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind_address(listen: str, port: int) -> str:
    """The address of ``host:port`` with the port that was taken, for people."""
    host, _ = split_address(listen)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
