"""The files of a catalog while it is read: messages, enums and comments by name, and the problems found so far."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message

from coherd.catalog import options
from coherd.catalog.declared import CatalogError


class Comments:
    """Leading comments (else trailing ones) of a file's elements, by their path.

    A path is that of `google.protobuf.SourceCodeInfo`: ``(6, 0, 2, 1)`` is the second rpc of the first service.
    """

    def __init__(self, file: FileDescriptorProto) -> None:
        self._file_name = file.name
        # protoc passes comments on as they are, and protobuf gives bytes for a string that is not UTF-8.
        self._by_path: dict[tuple[int, ...], tuple[str | bytes, int]] = {
            tuple(location.path): (location.leading_comments or location.trailing_comments, location.span[0] + 1)
            for location in file.source_code_info.location
            if location.span and (location.leading_comments or location.trailing_comments)
        }

    def of(self, path: tuple[int, ...]) -> str:
        """The comment as clean text: one line per line, without indent; empty if there is none.

        Raises:
            CatalogError: it is not UTF-8.
        """
        text, line = self._by_path.get(path, ("", 0))
        if isinstance(text, bytes):
            raise CatalogError([f"{self._file_name}:{line}: the comment here is not UTF-8; save the file as UTF-8"])
        return "\n".join(line.strip() for line in text.strip().splitlines())


class SourceFiles:
    """Files that link, and the pool they are linked in (`coherd.catalog.descriptor_sets.checked_pool`)."""

    def __init__(self, files: Sequence[FileDescriptorProto], pool: DescriptorPool) -> None:
        self.files = files
        self.pool = pool
        self.problems: list[str] = []
        self.messages: dict[str, tuple[DescriptorProto, FileDescriptorProto, tuple[int, ...]]] = {}
        """By full name with a leading dot: the message, its file, and its path there."""
        self.enums: dict[str, EnumDescriptorProto] = {}
        self._comments = {file.name: Comments(file) for file in files}
        for file in files:
            prefix = f".{file.package}" if file.package else ""
            self._index(file, file.message_type, file.enum_type, prefix, (4,))

    def _index(
        self,
        file: FileDescriptorProto,
        messages: Iterable[DescriptorProto],
        enums: Iterable[EnumDescriptorProto],
        prefix: str,
        path: tuple[int, ...],
    ) -> None:
        for enum in enums:
            self.enums[f"{prefix}.{enum.name}"] = enum
        for index, message in enumerate(messages):
            self.messages[f"{prefix}.{message.name}"] = (message, file, (*path, index))
            self._index(file, message.nested_type, message.enum_type, f"{prefix}.{message.name}", (*path, index, 3))

    def comment(self, file: FileDescriptorProto, path: tuple[int, ...]) -> str:
        """The comment of an element; one that cannot be read is a problem."""
        try:
            return self._comments[file.name].of(path)
        except CatalogError as error:
            self.problems += error.problems
            return ""

    def refuse_unknown(self, declared: Message, where: str) -> None:
        """Options of ours that this version does not know are problems: they would silently not hold."""
        self.problems += [f"{where}: {problem}" for problem in options.unknown_options(declared)]

    def refuse_relative(self, where: str, type_name: str) -> None:
        """A type that links and is none of `messages` and `enums` is not written as a compiler writes it."""
        self.problems.append(f"{where}: type {type_name!r} is not a full name with a dot in front, as protoc writes it")
