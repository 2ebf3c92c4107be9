"""Catalogs of compiled descriptor sets, as a server has them."""

from __future__ import annotations

from pathlib import Path

from coherd.catalog.catalog import Catalog
from coherd.catalog.descriptor_sets import Source
from coherd.catalog.load import builtin_source, load_catalog


def read_catalog(*files: Path | str, builtin: bool = True) -> Catalog:
    """The catalog of ``coherd serve --catalog FILE …``.

    Args:
        files: compiled descriptor sets (``protoc --include_imports --descriptor_set_out``).
        builtin: with the built-in catalog, as a server has it by default.

    Raises:
        OSError: a file cannot be read.
        CatalogError: they are no catalog; with every problem found.
    """
    sources = [builtin_source()] if builtin else []
    return load_catalog([*sources, *(Source(str(file), Path(file).read_bytes()) for file in files)])
