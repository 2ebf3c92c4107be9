"""Which catalog a command looks at: the built-in one, a file's, or a server's with the operator's overrides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import click
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from coherd.catalog.catalog import Catalog
from coherd.catalog.declared import CatalogError
from coherd.catalog.describe import catalog_of
from coherd.catalog.descriptor_sets import Source, checked_pool, merge_sets
from coherd.catalog.load import builtin_source, load_catalog
from coherd.cli.connection import ServerOptions, run
from coherd.cli.output import CommandFailure, ExitCode, plain
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


def load_file(path: Path, *, with_builtin: bool) -> Catalog:
    """The catalog of a compiled descriptor set, as ``coherd serve --catalog`` has it.

    Args:
        path: of the set.
        with_builtin: it stands beside the built-in catalog; False: in its place (``--no-builtin-catalog``).

    Raises:
        CommandFailure: it cannot be read or is no catalog (USAGE).
    """
    source = _source(path)
    try:
        return load_catalog([builtin_source(), source] if with_builtin else [source])
    except CatalogError as error:
        hint = ""
        if with_builtin and _is_catalog(source):
            hint = "; a catalog in place of the built-in one: --no-builtin-catalog"
        raise _unusable(error, hint) from None


def load_own_part(path: Path) -> Catalog:
    """What a compiled descriptor set itself declares; what it refers to may be declared elsewhere.

    Raises:
        CommandFailure: it cannot be read, has a defect of its own, or declares nothing (USAGE).
    """
    source = _source(path)
    try:
        catalog = load_catalog([source], partial=True)
    except CatalogError as error:
        raise _unusable(error) from None
    if not catalog.domains and not catalog.invalidations:
        raise CommandFailure(f"{path}: no service carries the option (coherd.v1.domain)", ExitCode.USAGE)
    return catalog


def files_of(path: Path) -> Mapping[str, FileDescriptorProto]:
    """The files of a compiled descriptor set, by name: for its messages, whatever it declares.

    Raises:
        CommandFailure: it cannot be read, or the files do not link (USAGE).
    """
    source = _source(path)
    try:
        merged = merge_sets([source])
        checked_pool(merged)
    except CatalogError as error:
        raise _unusable(error) from None
    return merged.files


def _source(path: Path) -> Source:
    try:
        return Source(str(path), path.read_bytes())
    except OSError as error:
        raise CommandFailure(f"{path}: {error.strerror or error}", ExitCode.USAGE) from None


def _is_catalog(source: Source) -> bool:
    try:
        load_catalog([source])
    except CatalogError:
        return False
    return True


def _unusable(error: CatalogError, hint: str = "") -> CommandFailure:
    first, *others = error.problems
    more = f" (and {len(others)} more)" if others else ""
    return CommandFailure(first + more + hint, ExitCode.USAGE)
