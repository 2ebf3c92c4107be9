"""Which catalog a command looks at: the built-in one, a file's, or a server's with the operator's overrides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import click

from coherd.catalog.catalog import Catalog
from coherd.catalog.describe import catalog_of
from coherd.cli.connection import ServerOptions, run
from coherd.cli.sources import load_file
from coherd.cli.text import plain
from coherd.client import CacheClient

F = TypeVar("F", bound=Callable[..., object])


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


def catalog_options(command: F) -> F:
    """Adds ``--catalog`` and ``--no-builtin-catalog``, as ``coherd serve`` has them: the arguments ``catalog_file`` and
    ``no_builtin``.
    """
    command = click.option(
        "--no-builtin-catalog", "no_builtin", is_flag=True, help="That set alone, as with serve --no-builtin-catalog."
    )(command)
    return click.option(
        "--catalog",
        "catalog_file",
        type=click.Path(path_type=Path),
        help="Ask no server: this compiled descriptor set, beside the built-in catalog.",
    )(command)


def catalog_of_file(path: Path | None, *, no_builtin: bool) -> Chosen | None:
    """The catalog that `catalog_options` ask for; None if they name no file.

    Raises:
        CommandFailure: the file cannot be used.
    """
    if path is None:
        if no_builtin:
            raise click.UsageError("--no-builtin-catalog needs --catalog")
        return None
    shown = plain(str(path))
    return Chosen(load_file(path, with_builtin=not no_builtin), shown if no_builtin else f"built-in and {shown}")
