"""A domain whose readers, writers and invalidators are named, and a server with a token for each of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rig.protos import HEAD, compile_text
from rig.server import CoherdServer

TEXT: Final = (
    HEAD.replace("package t;", "package vault.v1;")
    + """
// Reserved.
service VaultCache {
  option (coherd.v1.domain) = {
    name: "vault" ttl: { seconds: 60 } tags: "user" near_cache: NEAR_CACHE_PUSH
    readers: "reader" readers: "admin"
    writers: "writer" writers: "admin"
    invalidators: "janitor" invalidators: "admin"
  };
  rpc Item(ItemKey) returns (coherd.v1.Json) {}
}
message ItemKey { string user = 1; }
"""
)
PRINCIPALS: Final = ("reader", "writer", "janitor", "admin", "stranger")
"""Who has a token; the stranger may do nothing in the vault."""


def vault_catalog(directory: Path) -> Path:
    """The compiled catalog, in a file of the directory."""
    catalog = directory / "vault.binpb"
    catalog.write_bytes(compile_text(directory, TEXT))
    return catalog


def vault_token(principal: str | None) -> str | None:
    """The bearer token of a principal; None of somebody without."""
    return None if principal is None else f"token-of-{principal}"


@contextmanager
def vault_server(directory: Path) -> Iterator[CoherdServer]:
    """A server of the vault beside the built-in domains.

    At the end its log, debug lines included, has no token, no text with ``s3cret``, and no error.
    """
    hashes = {name: hashlib.sha256(f"token-of-{name}".encode()).hexdigest() for name in PRINCIPALS}
    tokens = "\n".join(f'{name} = "{digest}"' for name, digest in hashes.items())
    config = directory / "coherd.toml"
    config.write_text(f'catalog = ["{vault_catalog(directory)}"]\n[tokens]\n{tokens}\n')
    with CoherdServer("--config", str(config), "--log-format", "json", "--log-level", "debug") as server:
        yield server
        log = server.errors()
        assert "s3cret" not in log
        assert "token-of" not in log
        assert '"level": "error"' not in log
