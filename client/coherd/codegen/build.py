"""Regenerate everything that is checked in and generated: ``python -m coherd.codegen.build`` in a checkout.

``--check`` changes nothing and fails if a file differs, is missing or is superfluous. What is generated: messages of
all ``.proto`` files, typed keys and facades, the built-in catalog's descriptor set, the key vectors, and the catalog
reference.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from coherd.catalog.descriptor_sets import Source
from coherd.catalog.load import load_catalog
from coherd.codegen.plugin import generate
from coherd.codegen.protoc import compile_set, run_protoc
from coherd.codegen.reference import catalog_reference
from coherd.codegen.vectors import key_vectors

_MESSAGES: Final = ("client/coherd/**/*_pb2.py", "client/coherd/**/*_pb2.pyi")
_DERIVED: Final = ("client/coherd/**/*_coherd.py", "client/coherd/domains/*/__init__.py", "client/coherd/**/*.binpb")


class CatalogRefused(Exception):
    """The built-in catalog does not generate; the text is the plugin's."""


def messages(root: Path, scratch: Path) -> dict[str, bytes]:
    """Contents of the generated messages, by path relative to the repository.

    Args:
        root: the repository.
        scratch: an empty directory.

    Raises:
        ProtocError: protoc refuses a file.
    """
    protos = root / "protos"
    run_protoc([protos], [f"--python_out={scratch}", f"--pyi_out={scratch}"], _proto_files(root))
    written = (path for path in scratch.rglob("*") if path.is_file())
    return {f"client/{path.relative_to(scratch).as_posix()}": path.read_bytes() for path in written}


def derived(root: Path, scratch: Path) -> dict[str, bytes]:
    """Contents of what follows from the catalog, by path relative to the repository.

    Raises:
        ProtocError: protoc refuses a file.
        CatalogRefused: the declarations are not a usable catalog.
    """
    files = _proto_files(root)
    compiled = compile_set([root / "protos"], files, scratch / "builtin.binpb")
    request = CodeGeneratorRequest(
        file_to_generate=files, parameter="facade", proto_file=FileDescriptorSet.FromString(compiled).file
    )
    response = generate(request)
    if response.error:
        raise CatalogRefused(response.error)
    catalog = load_catalog([Source("built-in", compiled)])
    return {
        **{f"client/{file.name}": file.content.encode() for file in response.file},
        "client/coherd/domains/builtin.binpb": compiled,
        "docs/use/key-vectors.json": key_vectors(catalog).encode(),
        "docs/use/catalog-reference.md": catalog_reference(catalog).encode(),
    }


def differences(root: Path, wanted: Mapping[str, bytes], patterns: Iterable[str]) -> list[str]:
    """One line per file that differs, is missing, or matches a pattern and is not wanted."""
    present = {path.relative_to(root).as_posix() for pattern in patterns for path in root.glob(pattern)}
    lines = [f"superfluous: {name}" for name in present - wanted.keys()]
    for name, content in wanted.items():
        path = root / name
        if not path.is_file():
            lines.append(f"missing: {name}")
        elif path.read_bytes() != content:
            lines.append(f"differs: {name}")
    return sorted(lines)


def write(root: Path, wanted: Mapping[str, bytes], patterns: Iterable[str]) -> list[str]:
    """Make the files as wanted; the lines of `differences` that this settled."""
    settled = differences(root, wanted, patterns)
    for line in settled:
        path = root / line.partition(": ")[2]
        content = wanted.get(path.relative_to(root).as_posix())
        if content is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return settled


def _proto_files(root: Path) -> list[str]:
    protos = root / "protos"
    return sorted(path.relative_to(protos).as_posix() for path in protos.rglob("*.proto"))


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or with ``--check`` 1 if something is not current."""
    parser = argparse.ArgumentParser(prog="python -m coherd.codegen.build", description="Regenerate generated files.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if something is not current")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the checkout (default: here)")
    parser.add_argument("--only-derived", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    root: Path = options.root.resolve()
    with tempfile.TemporaryDirectory() as for_messages, tempfile.TemporaryDirectory() as for_sets:
        if options.check:
            wanted = {**messages(root, Path(for_messages)), **derived(root, Path(for_sets))}
            stale = differences(root, wanted, (*_MESSAGES, *_DERIVED))
            print("\n".join([*stale, "run: make gen"]) if stale else "everything generated is current")
            return 1 if stale else 0
        if options.only_derived:
            settled = write(root, derived(root, Path(for_sets)), _DERIVED)
        else:
            settled = write(root, messages(root, Path(for_messages)), _MESSAGES)
    print("\n".join(settled), end="\n" if settled else "")
    if options.only_derived:
        return 0
    # A new process, because this one has imported the messages as they were.
    again = [sys.executable, "-m", "coherd.codegen.build", "--only-derived", "--root", str(root)]
    return subprocess.run(again, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
