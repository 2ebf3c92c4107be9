"""Compiled descriptor sets: read, merge and link them, away from the process's default descriptor pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError

from coherd.contract.declared import CatalogError


class Source(NamedTuple):
    """A compiled descriptor set and what to call it in errors."""

    name: str
    data: bytes


def merge_sets(sources: Sequence[Source]) -> dict[str, FileDescriptorProto]:
    """The files of all sets, by name.

    Raises:
        CatalogError: a set is not one, is empty, or has a file that differs from another's of the same name.
    """
    files: dict[str, FileDescriptorProto] = {}
    origin: dict[str, str] = {}
    problems: list[str] = []
    for source in sources:
        try:
            parsed = FileDescriptorSet.FromString(source.data)
        except DecodeError:
            problem = f"{source.name}: not a compiled descriptor set (protoc --descriptor_set_out)"
            raise CatalogError([problem]) from None
        if not parsed.file:
            raise CatalogError([f"{source.name}: the descriptor set is empty"])
        for file in parsed.file:
            known = files.setdefault(file.name, file)
            first = origin.setdefault(file.name, source.name)
            standard = file.name.startswith("google/protobuf/")
            if known is not file and not standard and bare_bytes(known) != bare_bytes(file):
                problems.append(f"{file.name}: differs between {first} and {source.name}; compile both from one tree")
    if problems:
        raise CatalogError(problems)
    return files


def bare_bytes(file: FileDescriptorProto) -> bytes:
    """A file without its comments, for comparison."""
    copy = FileDescriptorProto()
    copy.CopyFrom(file)
    copy.ClearField("source_code_info")
    copy.DiscardUnknownFields()
    return copy.SerializeToString(deterministic=True)


def checked_pool(files: Mapping[str, FileDescriptorProto]) -> descriptor_pool.DescriptorPool:
    """A private descriptor pool of files that need not fit together.

    Raises:
        CatalogError: an import is missing, or a name is declared twice or nowhere.
    """
    try:
        return link_pool(files)
    except KeyError as error:
        raise CatalogError(
            [f"{error.args[0]}: imported but not in the descriptor set; compile with --include_imports"]
        ) from None
    except TypeError as error:
        raise CatalogError([f"the descriptor set does not link: {str(error).splitlines()[0]}"]) from None


def link_pool(files: Mapping[str, FileDescriptorProto]) -> descriptor_pool.DescriptorPool:
    """A private descriptor pool of the files.

    Raises:
        KeyError: a file that is imported is not there.
        TypeError: the files do not link.
    """
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()

    def add(name: str) -> None:
        if name in added:
            return
        added.add(name)
        file = files[name]
        for dependency in file.dependency:
            add(dependency)
        pool.Add(file)

    for name in files:
        add(name)
    return pool
