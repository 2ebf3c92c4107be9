"""Catalogs from files."""

from __future__ import annotations

from pathlib import Path

from coherd.cli.exits import CommandFailure, ExitCode
from coherd.contract.catalog import Catalog
from coherd.contract.catalog_load import builtin_source, load_catalog
from coherd.contract.declared import CatalogError
from coherd.contract.descriptor_sets import Source


def load_file(path: Path) -> Catalog:
    """The catalog of a compiled descriptor set, alone.

    Raises:
        CommandFailure: it cannot be read or is no catalog (USAGE).
    """
    return _load([_source(path)])


def catalog_of_file(path: Path | None) -> Catalog | None:
    """The catalog of a compiled descriptor set together with the built-in one, as a server has it; None for None.

    Raises:
        CommandFailure: as `load_file`.
    """
    if path is None:
        return None
    return _load([builtin_source(), _source(path)])


def _source(path: Path) -> Source:
    try:
        return Source(str(path), path.read_bytes())
    except OSError as error:
        raise CommandFailure(f"{path}: {error.strerror or error}", ExitCode.USAGE) from None


def _load(sources: list[Source]) -> Catalog:
    try:
        return load_catalog(sources)
    except CatalogError as error:
        first, *others = error.problems
        more = f" (and {len(others)} more)" if others else ""
        raise CommandFailure(first + more, ExitCode.USAGE) from None
