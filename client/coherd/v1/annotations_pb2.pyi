import datetime

from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NearCache(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NEAR_CACHE_UNSPECIFIED: _ClassVar[NearCache]
    NEAR_CACHE_OFF: _ClassVar[NearCache]
    NEAR_CACHE_PUSH: _ClassVar[NearCache]
    NEAR_CACHE_STRICT: _ClassVar[NearCache]

class OnFailover(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_FAILOVER_UNSPECIFIED: _ClassVar[OnFailover]
    ON_FAILOVER_DROP: _ClassVar[OnFailover]
    ON_FAILOVER_KEEP: _ClassVar[OnFailover]

class IdentifierFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IDENTIFIER_FORMAT_UNSPECIFIED: _ClassVar[IdentifierFormat]
    DATE: _ClassVar[IdentifierFormat]
NEAR_CACHE_UNSPECIFIED: NearCache
NEAR_CACHE_OFF: NearCache
NEAR_CACHE_PUSH: NearCache
NEAR_CACHE_STRICT: NearCache
ON_FAILOVER_UNSPECIFIED: OnFailover
ON_FAILOVER_DROP: OnFailover
ON_FAILOVER_KEEP: OnFailover
IDENTIFIER_FORMAT_UNSPECIFIED: IdentifierFormat
DATE: IdentifierFormat
DOMAIN_FIELD_NUMBER: _ClassVar[int]
domain: _descriptor.FieldDescriptor
RESOURCE_FIELD_NUMBER: _ClassVar[int]
resource: _descriptor.FieldDescriptor
IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
identifier: _descriptor.FieldDescriptor
INVALIDATION_FIELD_NUMBER: _ClassVar[int]
invalidation: _descriptor.FieldDescriptor

class TtlPolicy(_message.Message):
    __slots__ = ("max", "stale", "negative", "jitter", "early_refresh")
    MAX_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_FIELD_NUMBER: _ClassVar[int]
    JITTER_FIELD_NUMBER: _ClassVar[int]
    EARLY_REFRESH_FIELD_NUMBER: _ClassVar[int]
    max: _duration_pb2.Duration
    stale: _duration_pb2.Duration
    negative: _duration_pb2.Duration
    jitter: float
    early_refresh: float
    def __init__(self, max: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., stale: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., negative: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., jitter: _Optional[float] = ..., early_refresh: _Optional[float] = ...) -> None: ...

class Domain(_message.Message):
    __slots__ = ("name", "ttl", "policy", "tags", "near_cache", "on_failover", "open", "sensitive", "readers", "writers", "invalidators", "wait_replicas", "personal")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    NEAR_CACHE_FIELD_NUMBER: _ClassVar[int]
    ON_FAILOVER_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    SENSITIVE_FIELD_NUMBER: _ClassVar[int]
    READERS_FIELD_NUMBER: _ClassVar[int]
    WRITERS_FIELD_NUMBER: _ClassVar[int]
    INVALIDATORS_FIELD_NUMBER: _ClassVar[int]
    WAIT_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_FIELD_NUMBER: _ClassVar[int]
    name: str
    ttl: _duration_pb2.Duration
    policy: TtlPolicy
    tags: _containers.RepeatedScalarFieldContainer[str]
    near_cache: NearCache
    on_failover: OnFailover
    open: bool
    sensitive: bool
    readers: _containers.RepeatedScalarFieldContainer[str]
    writers: _containers.RepeatedScalarFieldContainer[str]
    invalidators: _containers.RepeatedScalarFieldContainer[str]
    wait_replicas: int
    personal: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., policy: _Optional[_Union[TtlPolicy, _Mapping]] = ..., tags: _Optional[_Iterable[str]] = ..., near_cache: _Optional[_Union[NearCache, str]] = ..., on_failover: _Optional[_Union[OnFailover, str]] = ..., open: _Optional[bool] = ..., sensitive: _Optional[bool] = ..., readers: _Optional[_Iterable[str]] = ..., writers: _Optional[_Iterable[str]] = ..., invalidators: _Optional[_Iterable[str]] = ..., wait_replicas: _Optional[int] = ..., personal: _Optional[_Iterable[str]] = ...) -> None: ...

class Resource(_message.Message):
    __slots__ = ("name", "ttl", "policy", "json_object", "shared")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    JSON_OBJECT_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    name: str
    ttl: _duration_pb2.Duration
    policy: TtlPolicy
    json_object: bool
    shared: bool
    def __init__(self, name: _Optional[str] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., policy: _Optional[_Union[TtlPolicy, _Mapping]] = ..., json_object: _Optional[bool] = ..., shared: _Optional[bool] = ...) -> None: ...

class Identifier(_message.Message):
    __slots__ = ("format", "unit", "personal")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_FIELD_NUMBER: _ClassVar[int]
    format: IdentifierFormat
    unit: str
    personal: bool
    def __init__(self, format: _Optional[_Union[IdentifierFormat, str]] = ..., unit: _Optional[str] = ..., personal: _Optional[bool] = ...) -> None: ...

class Invalidation(_message.Message):
    __slots__ = ("name", "summary", "tags", "format")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    name: str
    summary: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    format: IdentifierFormat
    def __init__(self, name: _Optional[str] = ..., summary: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., format: _Optional[_Union[IdentifierFormat, str]] = ...) -> None: ...
