"""Compiled descriptor sets: read, merge and link them, away from the process's default descriptor pool."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from coherd.catalog.declared import CatalogError

_REFUSED: Final = "Couldn't build proto file into descriptor pool: "
"""What protobuf's errors begin with."""
_TWICE: Final = re.compile("duplicate symbol '(.+)'")


class Source(NamedTuple):
    """A compiled descriptor set and what to call it in errors."""

    name: str
    data: bytes


class MergedSets(NamedTuple):
    """The files of one or more sets."""

    files: Mapping[str, FileDescriptorProto]
    """By name."""
    sets: Sequence[tuple[str, frozenset[str]]]
    """Name of each set, and of its files."""

    def origin(self, file: str) -> str:
        """Name of the first set that has a file."""
        return next(name for name, held in self.sets if file in held)


def merge_sets(sources: Sequence[Source]) -> MergedSets:
    """The files of all sets.

    Raises:
        CatalogError: a set is not one, is empty, or has a file that differs from another's of the same name.
    """
    files: dict[str, FileDescriptorProto] = {}
    merged = MergedSets(files, sets := [])
    problems: list[str] = []
    for source in sources:
        try:
            parsed = FileDescriptorSet.FromString(source.data)
        except DecodeError:
            problem = f"{source.name}: not a compiled descriptor set (protoc --descriptor_set_out)"
            raise CatalogError([problem]) from None
        if not parsed.file:
            raise CatalogError([f"{source.name}: the descriptor set is empty"])
        if any(type(file.name) is not str for file in parsed.file):  # protobuf gives bytes for what is not UTF-8
            raise CatalogError([f"{source.name}: the name of a file is not UTF-8"])
        sets.append((source.name, frozenset(file.name for file in parsed.file)))
        for file in parsed.file:
            known = files.setdefault(file.name, file)
            standard = file.name.startswith("google/protobuf/")
            if known is not file and not standard and bare_bytes(known) != bare_bytes(file):
                first = merged.origin(file.name)
                problems.append(f"{file.name}: differs between {first} and {source.name}; compile both from one tree")
    if problems:
        raise CatalogError(problems)
    return merged


def bare_bytes(file: FileDescriptorProto) -> bytes:
    """A file without its comments, for comparison."""
    copy = FileDescriptorProto()
    copy.CopyFrom(file)
    copy.ClearField("source_code_info")
    copy.DiscardUnknownFields()
    return copy.SerializeToString(deterministic=True)


def checked_pool(merged: MergedSets) -> DescriptorPool:
    """A private descriptor pool of files that need not fit together.

    Raises:
        CatalogError: an import is missing, or a name is declared twice or nowhere.
    """
    files = merged.files
    missing = {needed: file.name for file in files.values() for needed in file.dependency if needed not in files}
    if missing:
        raise CatalogError(
            [
                f"{merged.origin(importer)}: {importer}: imports {needed}, which is not in the descriptor set;"
                " compile with --include_imports"
                for needed, importer in missing.items()
            ]
        )
    pool = DescriptorPool()
    for file in _imports_first(files):
        try:
            pool.Add(file)
        except TypeError as error:
            raise CatalogError([_why_unlinked(merged, pool, file.name, str(error))]) from None
    return pool


def _why_unlinked(merged: MergedSets, pool: DescriptorPool, file: str, text: str) -> str:
    """One line on a file that does not link; for a name that is declared twice also where it is declared first."""
    reason = text.splitlines()[0].removeprefix(_REFUSED)
    twice = _TWICE.fullmatch(reason)
    try:
        first = pool.FindFileContainingSymbol(twice[1]).name if twice else ""
    except KeyError:  # twice in this very file
        first = ""
    other = f", which is also in {first} of {merged.origin(first)}" if first else ""
    return f"{merged.origin(file)}: {file}: does not link: {reason}{other}"


def link_pool(files: Mapping[str, FileDescriptorProto]) -> DescriptorPool:
    """A private descriptor pool of files that are known to fit together."""
    pool = DescriptorPool()
    for file in _imports_first(files):
        pool.Add(file)
    return pool


def _imports_first(files: Mapping[str, FileDescriptorProto]) -> Iterator[FileDescriptorProto]:
    """The files, each behind those it imports, however long the chain; of a circle one comes too early."""
    entered: set[str] = set()
    done: set[str] = set()
    waiting = list(files)[::-1]
    while waiting:
        name = waiting[-1]
        if name not in entered:
            entered.add(name)
            waiting += (needed for needed in files[name].dependency if needed not in entered)
            continue
        waiting.pop()
        if name not in done:
            done.add(name)
            yield files[name]
