"""Files that the settings name, read and checked: catalogs and TLS."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from coherd.catalog.catalog import Catalog
from coherd.catalog.declared import CatalogError
from coherd.catalog.descriptor_sets import Source
from coherd.catalog.load import builtin_source, load_catalog
from coherd.catalog.overrides import OverrideError, with_near_caches, with_overrides
from coherd_server.settings import Settings, SettingsError


def catalog_of(settings: Settings) -> Catalog:
    """The catalog the settings ask for, with the operator's overrides.

    Raises:
        SettingsError: a file cannot be read, or its declarations cannot be used; one line per problem.
    """
    sources: list[Source] = [builtin_source()] if settings.builtin_catalog else []
    for name in settings.catalog:
        try:
            sources.append(Source(name, Path(name).read_bytes()))
        except OSError as error:
            raise SettingsError(f"{settings.origin('catalog')}: {name}: cannot be read: {error.strerror}") from None
    try:
        catalog = load_catalog(sources)
    except CatalogError as error:
        raise SettingsError(
            "\n".join(f"{settings.origin('catalog')}: {problem}" for problem in error.problems)
        ) from None
    problems: list[str] = []
    try:
        catalog = with_overrides(catalog, {name: ttl.override() for name, ttl in settings.ttl.items()})
    except OverrideError as error:
        problems += (
            f"{settings.origin('ttl', n)}: {text}" for n, text in zip(error.names, error.problems, strict=True)
        )
    for name, mode in settings.near_cache.items():
        try:
            catalog = with_near_caches(catalog, {name: mode})
        except CatalogError as error:
            problems += (f"{settings.origin('near_cache', name)}: {problem}" for problem in error.problems)
    if problems:
        raise SettingsError("\n".join(problems))
    return catalog


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM bytes of the server's side."""

    key: bytes
    chain: bytes
    client_ca: bytes | None


def tls_of(settings: Settings) -> Tls | None:
    """The TLS files the settings name, read.

    Raises:
        SettingsError: a file cannot be read, or does not hold what it must.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None

    def read(setting: str, name: str) -> bytes:
        try:
            return Path(name).read_bytes()
        except OSError as error:
            raise SettingsError(f"{settings.origin(setting)}: {name}: cannot be read: {error.strerror}") from None

    client_ca = read("tls_client_ca", settings.tls_client_ca) if settings.tls_client_ca else None
    tls = Tls(read("tls_key", settings.tls_key), read("tls_cert", settings.tls_cert), client_ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # gRPC would only say that it cannot listen
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password="")
    except ssl.SSLError as error:
        files = f"{settings.tls_cert} and {settings.tls_key} are not a certificate chain and its unencrypted key, PEM"
        raise SettingsError(f"{settings.origin('tls_cert')}: {files}{_why(error)}") from None
    if settings.tls_client_ca:
        try:
            context.load_verify_locations(settings.tls_client_ca)
        except ssl.SSLError as error:
            origin = settings.origin("tls_client_ca")
            raise SettingsError(f"{origin}: {settings.tls_client_ca} holds no certificates, PEM{_why(error)}") from None
    return tls


def _why(error: ssl.SSLError) -> str:
    return f": {error.reason}" if error.reason else ""
