"""Comments of declarations, from the source info of a file descriptor."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FileDescriptorProto

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
