"""Catalogs and messages from files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from coherd.catalog.catalog import Catalog
from coherd.catalog.declared import CatalogError
from coherd.catalog.descriptor_sets import Source, checked_pool, merge_sets
from coherd.catalog.load import builtin_source, load_catalog
from coherd.cli.exits import CommandFailure, ExitCode


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
