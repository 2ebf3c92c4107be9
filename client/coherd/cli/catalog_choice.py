"""Which catalog a command looks at: the built-in one, a file's, or a server's with the operator's overrides."""

from __future__ import annotations

from typing import NamedTuple

from coherd.cli.connection import ServerOptions, run
from coherd.cli.described import catalog_of
from coherd.client import CacheClient
from coherd.contract.catalog import Catalog


class Chosen(NamedTuple):
    """A catalog and where it comes from."""

    catalog: Catalog
    origin: str
    """For people: ``built-in``, a file's name, or ``server localhost:50051``."""


def catalog_of_server(server: ServerOptions) -> Chosen:
    """The catalog a server runs.

    Raises:
        CommandFailure: the server cannot be asked.
    """

    async def act(cache: CacheClient) -> Catalog:
        return catalog_of(await cache.describe_catalog())

    return Chosen(run(server, act), f"server {server.target}")
