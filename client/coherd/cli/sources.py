"""Catalogs and messages from files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from coherd.cli.exits import CommandFailure, ExitCode
from coherd.contract.catalog import Catalog
from coherd.contract.catalog_load import load_catalog
from coherd.contract.declared import CatalogError
from coherd.contract.descriptor_sets import Source, check_links, merge_sets


def load_file(path: Path) -> Catalog:
    """The catalog of a compiled descriptor set, alone.

    Raises:
        CommandFailure: it cannot be read or is no catalog (USAGE).
    """
    source = _source(path)
    try:
        return load_catalog([source])
    except CatalogError as error:
        raise _unusable(error) from None


def files_of(path: Path) -> Mapping[str, FileDescriptorProto]:
    """The files of a compiled descriptor set, by name: for its messages, whatever it declares.

    Raises:
        CommandFailure: it cannot be read, or the files do not link (USAGE).
    """
    source = _source(path)
    try:
        files = merge_sets([source])
        check_links(files)
    except CatalogError as error:
        raise _unusable(error) from None
    return files


def _source(path: Path) -> Source:
    try:
        return Source(str(path), path.read_bytes())
    except OSError as error:
        raise CommandFailure(f"{path}: {error.strerror or error}", ExitCode.USAGE) from None


def _unusable(error: CatalogError) -> CommandFailure:
    first, *others = error.problems
    return CommandFailure(first + (f" (and {len(others)} more)" if others else ""), ExitCode.USAGE)
