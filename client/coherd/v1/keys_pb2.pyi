from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Key(_message.Message):
    __slots__ = ("text", "parts")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    text: str
    parts: StructuredKey
    def __init__(self, text: _Optional[str] = ..., parts: _Optional[_Union[StructuredKey, _Mapping]] = ...) -> None: ...

class StructuredKey(_message.Message):
    __slots__ = ("domain", "resource", "identifiers", "suffix")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    SUFFIX_FIELD_NUMBER: _ClassVar[int]
    domain: str
    resource: str
    identifiers: _containers.RepeatedCompositeFieldContainer[KeyIdentifier]
    suffix: str
    def __init__(self, domain: _Optional[str] = ..., resource: _Optional[str] = ..., identifiers: _Optional[_Iterable[_Union[KeyIdentifier, _Mapping]]] = ..., suffix: _Optional[str] = ...) -> None: ...

class KeyIdentifier(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class Tag(_message.Message):
    __slots__ = ("domain", "identifier", "value")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    domain: str
    identifier: str
    value: str
    def __init__(self, domain: _Optional[str] = ..., identifier: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class NamedInvalidation(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class ResourceSelector(_message.Message):
    __slots__ = ("domain", "resource")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    domain: str
    resource: str
    def __init__(self, domain: _Optional[str] = ..., resource: _Optional[str] = ...) -> None: ...

class DomainSelector(_message.Message):
    __slots__ = ("domain",)
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    domain: str
    def __init__(self, domain: _Optional[str] = ...) -> None: ...

class Selector(_message.Message):
    __slots__ = ("tag", "named", "resource", "domain", "key")
    TAG_FIELD_NUMBER: _ClassVar[int]
    NAMED_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    tag: Tag
    named: NamedInvalidation
    resource: ResourceSelector
    domain: DomainSelector
    key: Key
    def __init__(self, tag: _Optional[_Union[Tag, _Mapping]] = ..., named: _Optional[_Union[NamedInvalidation, _Mapping]] = ..., resource: _Optional[_Union[ResourceSelector, _Mapping]] = ..., domain: _Optional[_Union[DomainSelector, _Mapping]] = ..., key: _Optional[_Union[Key, _Mapping]] = ...) -> None: ...
