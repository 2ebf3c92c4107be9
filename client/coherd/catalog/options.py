"""Typed access to the `coherd.v1` options of a declaration (protos/coherd/v1/annotations.proto)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

from google.protobuf.descriptor_pb2 import (
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from coherd.catalog.declared import OnFailover
from coherd.contract.near_cache import NearCacheMode
from coherd.v1 import annotations_pb2

NEAR_CACHE_MODES: Final = {
    annotations_pb2.NEAR_CACHE_OFF: NearCacheMode.OFF,
    annotations_pb2.NEAR_CACHE_PUSH: NearCacheMode.PUSH,
    annotations_pb2.NEAR_CACHE_STRICT: NearCacheMode.STRICT,
}
"""Modes by their number in `coherd.v1.NearCache`."""
ON_FAILOVER: Final = {
    annotations_pb2.ON_FAILOVER_DROP: OnFailover.DROP,
    annotations_pb2.ON_FAILOVER_KEEP: OnFailover.KEEP,
}
"""Choices by their number in `coherd.v1.OnFailover`."""
_OURS: Final = range(50800, 50900)
"""Field numbers of options that are ours, now or later."""


def domain_of(service: ServiceDescriptorProto) -> annotations_pb2.Domain | None:
    """What makes a service a domain; None if it is none."""
    if not service.options.HasExtension(cast(Any, annotations_pb2.domain)):
        return None
    return cast(annotations_pb2.Domain, _value(service.options, annotations_pb2.domain))


def resource_of(method: MethodDescriptorProto) -> annotations_pb2.Resource:
    """The option of a resource; empty if it has none."""
    return cast(annotations_pb2.Resource, _value(method.options, annotations_pb2.resource))


def has_resource(method: MethodDescriptorProto) -> bool:
    """Whether a method carries the option of a resource."""
    return method.options.HasExtension(cast(Any, annotations_pb2.resource))


def declares(file: FileDescriptorProto) -> bool:
    """Whether a file has anything of a catalog, or means to."""
    services = any(domain_of(service) is not None or any(map(has_resource, service.method)) for service in file.service)
    return services or any(invalidations_of(file))


def identifier_of(field: FieldDescriptorProto) -> annotations_pb2.Identifier:
    """The option of a field of a key message; empty if it has none."""
    return cast(annotations_pb2.Identifier, _value(field.options, annotations_pb2.identifier))


def invalidations_of(file: FileDescriptorProto) -> Iterable[annotations_pb2.Invalidation]:
    """The named invalidations a file declares."""
    return cast(Iterable[annotations_pb2.Invalidation], _value(file.options, annotations_pb2.invalidation))


def _value(options: Message, extension: object) -> object:
    # protoc's stubs type an extension as a plain FieldDescriptor, which the stubs of Message do not take.
    return cast(Any, options).Extensions[extension]


def unknown_options(options: Message) -> Iterator[str]:
    """What is wrong with options of ours that this version does not know: they would silently not hold."""
    for number in _unknown_numbers(options):
        if number in _OURS:
            yield f"option {number} is not known to this version of coherd"
    for descriptor, value in options.ListFields():
        if descriptor.is_extension and descriptor.number in _OURS:
            for item in value if descriptor.is_repeated else [value]:
                if _has_unknown(item):
                    yield f"({descriptor.full_name}) has a field this version does not know"


def _unknown_numbers(message: Message) -> list[int]:
    return [unknown.field_number for unknown in cast(Iterable[Any], UnknownFieldSet(message))]


def _has_unknown(message: Message) -> bool:
    """Whether a message or one inside it has a field its type does not know."""
    if _unknown_numbers(message):
        return True
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for item in value if descriptor.is_repeated else [value]:
                if _has_unknown(item):
                    return True
    return False
