"""Server reflection, v1 and v1alpha, that serves file descriptors as they were compiled: with their comments.

grpcio-reflection serves what a descriptor pool re-serializes, which has lost them, and only v1alpha; the two
versions have the same messages under two names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Final

import grpc
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2

from coherd_server.rpc.endpoint import Handler
from coherd_server.rpc.errors import Context

SERVICE_NAMES: Final = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
_METHOD: Final = "ServerReflectionInfo"
_Response = reflection_pb2.ServerReflectionResponse


class Reflection:
    """Answers reflection queries over a set of files.

    Args:
        files: serialized FileDescriptorProtos by name, imports included.
        services: full names of the services that are served.
    """

    def __init__(self, files: Mapping[str, bytes], services: Iterable[str]) -> None:
        self._files = {**_own_files(), **files}
        self._services = sorted(services)
        self._symbols: dict[str, str] = {}
        self._extensions: dict[str, dict[int, str]] = {}
        self._imports: dict[str, list[str]] = {}
        for name, data in self._files.items():
            self._index(FileDescriptorProto.FromString(data), name)

    def handlers(self) -> dict[str, Handler]:
        """The stream handler under both names."""
        handler: Handler = grpc.stream_stream_rpc_method_handler(self._stream)
        return {f"/{service}/{_METHOD}": handler for service in SERVICE_NAMES}

    async def _stream(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        async for data in requests:
            try:
                request = reflection_pb2.ServerReflectionRequest.FromString(data)
            except DecodeError:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not a ServerReflectionRequest")
            yield self.answer(request).SerializeToString()

    def answer(self, request: reflection_pb2.ServerReflectionRequest) -> reflection_pb2.ServerReflectionResponse:
        """The answer to one query; what is not there is an error inside the answer."""
        response = _Response(valid_host=request.host, original_request=request)
        match request.WhichOneof("message_request"):
            case "list_services":
                response.list_services_response.service.extend(
                    reflection_pb2.ServiceResponse(name=name) for name in self._services
                )
            case "file_by_filename":
                self._answer_file(response, request.file_by_filename)
            case "file_containing_symbol":
                self._answer_file(response, self._symbols.get(request.file_containing_symbol.lstrip(".")))
            case "file_containing_extension":
                wanted = request.file_containing_extension
                numbers = self._extensions.get(wanted.containing_type.lstrip("."), {})
                self._answer_file(response, numbers.get(wanted.extension_number))
            case "all_extension_numbers_of_type":
                name = request.all_extension_numbers_of_type.lstrip(".")
                if name in self._symbols:
                    numbers_response = response.all_extension_numbers_response
                    numbers_response.base_type_name = name
                    numbers_response.extension_number.extend(sorted(self._extensions.get(name, {})))
                else:
                    _not_found(response)
            case _:
                error = response.error_response
                error.error_code = grpc.StatusCode.INVALID_ARGUMENT.value[0]
                error.error_message = "the request asks for nothing"
        return response

    def _answer_file(self, response: reflection_pb2.ServerReflectionResponse, name: str | None) -> None:
        if name is None or name not in self._files:
            _not_found(response)
            return
        response.file_descriptor_response.file_descriptor_proto.extend(self._with_imports(name))

    def _with_imports(self, name: str) -> Iterator[bytes]:
        """The file and all it imports, itself first: one answer instead of one query per import."""
        todo, done = [name], {name}
        while todo:
            current = todo.pop(0)
            yield self._files[current]
            for dependency in self._imports[current]:
                if dependency not in done and dependency in self._files:
                    done.add(dependency)
                    todo.append(dependency)

    def _index(self, file: FileDescriptorProto, name: str) -> None:
        self._imports[name] = list(file.dependency)
        prefix = f"{file.package}." if file.package else ""
        for service in file.service:
            self._symbols[prefix + service.name] = name
            for method in service.method:
                self._symbols[f"{prefix}{service.name}.{method.name}"] = name
        self._index_types(name, prefix, file.message_type, file.enum_type, file.extension)

    def _index_types(
        self,
        name: str,
        prefix: str,
        messages: Iterable[DescriptorProto],
        enums: Iterable[EnumDescriptorProto],
        extensions: Iterable[FieldDescriptorProto],
    ) -> None:
        for enum in enums:
            self._symbols[prefix + enum.name] = name
            for value in enum.value:
                self._symbols[prefix + value.name] = name
        for extension in extensions:
            self._symbols[prefix + extension.name] = name
            self._extensions.setdefault(extension.extendee.lstrip("."), {})[extension.number] = name
        for message in messages:
            full = prefix + message.name
            self._symbols[full] = name
            for field in message.field:
                self._symbols[f"{full}.{field.name}"] = name
            self._index_types(name, full + ".", message.nested_type, message.enum_type, message.extension)


def _own_files() -> dict[str, bytes]:
    """The files of the reflection services themselves: who lists a service wants to describe it."""
    alpha = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(alpha)
    current = text_format.Parse(text_format.MessageToString(alpha).replace("v1alpha", "v1"), FileDescriptorProto())
    return {file.name: file.SerializeToString() for file in (alpha, current)}


def _not_found(response: reflection_pb2.ServerReflectionResponse) -> None:
    error = response.error_response
    error.error_code = grpc.StatusCode.NOT_FOUND.value[0]
    error.error_message = "no such file, symbol or extension"
