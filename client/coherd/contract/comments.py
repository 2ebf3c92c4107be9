"""Comments of declarations, from the source info of a file descriptor."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FileDescriptorProto


class Comments:
    """Leading comments (else trailing ones) of a file's elements, by their path.

    A path is that of `google.protobuf.SourceCodeInfo`: ``(6, 0, 2, 1)`` is the second rpc of the first service.
    """

    def __init__(self, file: FileDescriptorProto) -> None:
        self._by_path = {
            tuple(location.path): location.leading_comments or location.trailing_comments
            for location in file.source_code_info.location
            if location.leading_comments or location.trailing_comments
        }

    def of(self, path: tuple[int, ...]) -> str:
        """The comment as clean text: one line per line, without indent; empty if there is none."""
        lines = [line.strip() for line in self._by_path.get(path, "").strip().splitlines()]
        return "\n".join(lines)
