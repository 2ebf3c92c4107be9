from coherd.v1 import annotations_pb2 as _annotations_pb2
from coherd.v1 import cache_service_pb2 as _cache_service_pb2
from coherd.v1 import errors_pb2 as _errors_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GET_OUTCOME_UNSPECIFIED: _ClassVar[GetOutcome]
    GET_OUTCOME_HIT: _ClassVar[GetOutcome]
    GET_OUTCOME_HIT_NEAR_CACHEABLE: _ClassVar[GetOutcome]
    GET_OUTCOME_ABSENT: _ClassVar[GetOutcome]
    GET_OUTCOME_INVALIDATED: _ClassVar[GetOutcome]
    GET_OUTCOME_FOREIGN: _ClassVar[GetOutcome]
    GET_OUTCOME_EXPIRED: _ClassVar[GetOutcome]
GET_OUTCOME_UNSPECIFIED: GetOutcome
GET_OUTCOME_HIT: GetOutcome
GET_OUTCOME_HIT_NEAR_CACHEABLE: GetOutcome
GET_OUTCOME_ABSENT: GetOutcome
GET_OUTCOME_INVALIDATED: GetOutcome
GET_OUTCOME_FOREIGN: GetOutcome
GET_OUTCOME_EXPIRED: GetOutcome

class SessionRequest(_message.Message):
    __slots__ = ("hello", "frame", "cancel", "push_ack", "heartbeat", "goodbye", "ping", "asked_at_ms")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    PUSH_ACK_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    ASKED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    frame: RequestFrame
    cancel: CancelFrame
    push_ack: PushAck
    heartbeat: Heartbeat
    goodbye: Goodbye
    ping: Ping
    asked_at_ms: int
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., frame: _Optional[_Union[RequestFrame, _Mapping]] = ..., cancel: _Optional[_Union[CancelFrame, _Mapping]] = ..., push_ack: _Optional[_Union[PushAck, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., asked_at_ms: _Optional[int] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("protocol", "client_id", "user_agent", "near_cache")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_AGENT_FIELD_NUMBER: _ClassVar[int]
    NEAR_CACHE_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    client_id: bytes
    user_agent: str
    near_cache: bool
    def __init__(self, protocol: _Optional[int] = ..., client_id: _Optional[bytes] = ..., user_agent: _Optional[str] = ..., near_cache: _Optional[bool] = ...) -> None: ...

class RequestFrame(_message.Message):
    __slots__ = ("operations", "gets", "sets")
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    GETS_FIELD_NUMBER: _ClassVar[int]
    SETS_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[Operation]
    gets: _containers.RepeatedCompositeFieldContainer[Gets]
    sets: _containers.RepeatedCompositeFieldContainer[Sets]
    def __init__(self, operations: _Optional[_Iterable[_Union[Operation, _Mapping]]] = ..., gets: _Optional[_Iterable[_Union[Gets, _Mapping]]] = ..., sets: _Optional[_Iterable[_Union[Sets, _Mapping]]] = ...) -> None: ...

class Gets(_message.Message):
    __slots__ = ("first_id", "timeout_ms", "accept_stale", "keys")
    FIRST_ID_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_STALE_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    first_id: int
    timeout_ms: int
    accept_stale: bool
    keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, first_id: _Optional[int] = ..., timeout_ms: _Optional[int] = ..., accept_stale: _Optional[bool] = ..., keys: _Optional[_Iterable[str]] = ...) -> None: ...

class Sets(_message.Message):
    __slots__ = ("first_id", "timeout_ms", "keys", "values", "ttl_ms", "extra_tags", "only_if_absent", "versions", "negative")
    class ExtraTagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FIRST_ID_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    EXTRA_TAGS_FIELD_NUMBER: _ClassVar[int]
    ONLY_IF_ABSENT_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_FIELD_NUMBER: _ClassVar[int]
    first_id: int
    timeout_ms: int
    keys: _containers.RepeatedScalarFieldContainer[str]
    values: _containers.RepeatedScalarFieldContainer[bytes]
    ttl_ms: int
    extra_tags: _containers.ScalarMap[str, str]
    only_if_absent: bool
    versions: _containers.RepeatedScalarFieldContainer[int]
    negative: bool
    def __init__(self, first_id: _Optional[int] = ..., timeout_ms: _Optional[int] = ..., keys: _Optional[_Iterable[str]] = ..., values: _Optional[_Iterable[bytes]] = ..., ttl_ms: _Optional[int] = ..., extra_tags: _Optional[_Mapping[str, str]] = ..., only_if_absent: _Optional[bool] = ..., versions: _Optional[_Iterable[int]] = ..., negative: _Optional[bool] = ...) -> None: ...

class Operation(_message.Message):
    __slots__ = ("id", "timeout_ms", "lease", "fill", "delete", "touch", "invalidate", "batch_lease", "batch_fill")
    ID_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    FILL_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    TOUCH_FIELD_NUMBER: _ClassVar[int]
    INVALIDATE_FIELD_NUMBER: _ClassVar[int]
    BATCH_LEASE_FIELD_NUMBER: _ClassVar[int]
    BATCH_FILL_FIELD_NUMBER: _ClassVar[int]
    id: int
    timeout_ms: int
    lease: _cache_service_pb2.LeaseRequest
    fill: _cache_service_pb2.FillRequest
    delete: _cache_service_pb2.DeleteRequest
    touch: _cache_service_pb2.TouchRequest
    invalidate: _cache_service_pb2.InvalidateRequest
    batch_lease: _cache_service_pb2.BatchLeaseRequest
    batch_fill: _cache_service_pb2.BatchFillRequest
    def __init__(self, id: _Optional[int] = ..., timeout_ms: _Optional[int] = ..., lease: _Optional[_Union[_cache_service_pb2.LeaseRequest, _Mapping]] = ..., fill: _Optional[_Union[_cache_service_pb2.FillRequest, _Mapping]] = ..., delete: _Optional[_Union[_cache_service_pb2.DeleteRequest, _Mapping]] = ..., touch: _Optional[_Union[_cache_service_pb2.TouchRequest, _Mapping]] = ..., invalidate: _Optional[_Union[_cache_service_pb2.InvalidateRequest, _Mapping]] = ..., batch_lease: _Optional[_Union[_cache_service_pb2.BatchLeaseRequest, _Mapping]] = ..., batch_fill: _Optional[_Union[_cache_service_pb2.BatchFillRequest, _Mapping]] = ...) -> None: ...

class CancelFrame(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, ids: _Optional[_Iterable[int]] = ...) -> None: ...

class PushAck(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("near_cache_hits",)
    class NearCacheHitsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NEAR_CACHE_HITS_FIELD_NUMBER: _ClassVar[int]
    near_cache_hits: _containers.ScalarMap[str, int]
    def __init__(self, near_cache_hits: _Optional[_Mapping[str, int]] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SessionResponse(_message.Message):
    __slots__ = ("welcome", "frame", "push", "extension", "drain", "pong")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    PUSH_FIELD_NUMBER: _ClassVar[int]
    EXTENSION_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    frame: ResponseFrame
    push: PushFrame
    extension: LeaseExtension
    drain: Drain
    pong: Pong
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., frame: _Optional[_Union[ResponseFrame, _Mapping]] = ..., push: _Optional[_Union[PushFrame, _Mapping]] = ..., extension: _Optional[_Union[LeaseExtension, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("protocol", "session_id", "window", "window_bytes", "near_cache_lease_ms", "near_caches", "answers_pings")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    WINDOW_BYTES_FIELD_NUMBER: _ClassVar[int]
    NEAR_CACHE_LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    NEAR_CACHES_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_PINGS_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    session_id: bytes
    window: int
    window_bytes: int
    near_cache_lease_ms: int
    near_caches: _containers.RepeatedCompositeFieldContainer[NearCacheDomain]
    answers_pings: bool
    def __init__(self, protocol: _Optional[int] = ..., session_id: _Optional[bytes] = ..., window: _Optional[int] = ..., window_bytes: _Optional[int] = ..., near_cache_lease_ms: _Optional[int] = ..., near_caches: _Optional[_Iterable[_Union[NearCacheDomain, _Mapping]]] = ..., answers_pings: _Optional[bool] = ...) -> None: ...

class NearCacheDomain(_message.Message):
    __slots__ = ("domain", "mode", "tags", "any_tags")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    ANY_TAGS_FIELD_NUMBER: _ClassVar[int]
    domain: str
    mode: _annotations_pb2.NearCache
    tags: _containers.RepeatedScalarFieldContainer[str]
    any_tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, domain: _Optional[str] = ..., mode: _Optional[_Union[_annotations_pb2.NearCache, str]] = ..., tags: _Optional[_Iterable[str]] = ..., any_tags: _Optional[_Iterable[str]] = ...) -> None: ...

class ResponseFrame(_message.Message):
    __slots__ = ("results", "gets", "sets")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    GETS_FIELD_NUMBER: _ClassVar[int]
    SETS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[OperationResult]
    gets: _containers.RepeatedCompositeFieldContainer[GetAnswers]
    sets: _containers.RepeatedCompositeFieldContainer[SetAnswers]
    def __init__(self, results: _Optional[_Iterable[_Union[OperationResult, _Mapping]]] = ..., gets: _Optional[_Iterable[_Union[GetAnswers, _Mapping]]] = ..., sets: _Optional[_Iterable[_Union[SetAnswers, _Mapping]]] = ...) -> None: ...

class GetAnswers(_message.Message):
    __slots__ = ("first_id", "outcomes", "values", "remaining_ttl_ms", "age_ms")
    FIRST_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    REMAINING_TTL_MS_FIELD_NUMBER: _ClassVar[int]
    AGE_MS_FIELD_NUMBER: _ClassVar[int]
    first_id: int
    outcomes: _containers.RepeatedScalarFieldContainer[GetOutcome]
    values: _containers.RepeatedScalarFieldContainer[bytes]
    remaining_ttl_ms: _containers.RepeatedScalarFieldContainer[int]
    age_ms: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, first_id: _Optional[int] = ..., outcomes: _Optional[_Iterable[_Union[GetOutcome, str]]] = ..., values: _Optional[_Iterable[bytes]] = ..., remaining_ttl_ms: _Optional[_Iterable[int]] = ..., age_ms: _Optional[_Iterable[int]] = ...) -> None: ...

class SetAnswers(_message.Message):
    __slots__ = ("first_id", "outcomes", "ttl_ms")
    FIRST_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    first_id: int
    outcomes: _containers.RepeatedScalarFieldContainer[_cache_service_pb2.SetOutcome]
    ttl_ms: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, first_id: _Optional[int] = ..., outcomes: _Optional[_Iterable[_Union[_cache_service_pb2.SetOutcome, str]]] = ..., ttl_ms: _Optional[_Iterable[int]] = ...) -> None: ...

class OperationResult(_message.Message):
    __slots__ = ("id", "error", "get", "lease", "fill", "delete", "touch", "invalidate", "batch_lease", "batch_fill")
    ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    GET_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    FILL_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    TOUCH_FIELD_NUMBER: _ClassVar[int]
    INVALIDATE_FIELD_NUMBER: _ClassVar[int]
    BATCH_LEASE_FIELD_NUMBER: _ClassVar[int]
    BATCH_FILL_FIELD_NUMBER: _ClassVar[int]
    id: int
    error: _cache_service_pb2.ItemError
    get: _cache_service_pb2.GetResponse
    lease: _cache_service_pb2.LeaseResponse
    fill: _cache_service_pb2.FillResponse
    delete: _cache_service_pb2.DeleteResponse
    touch: _cache_service_pb2.TouchResponse
    invalidate: _cache_service_pb2.InvalidateResponse
    batch_lease: _cache_service_pb2.BatchLeaseResponse
    batch_fill: _cache_service_pb2.BatchFillResponse
    def __init__(self, id: _Optional[int] = ..., error: _Optional[_Union[_cache_service_pb2.ItemError, _Mapping]] = ..., get: _Optional[_Union[_cache_service_pb2.GetResponse, _Mapping]] = ..., lease: _Optional[_Union[_cache_service_pb2.LeaseResponse, _Mapping]] = ..., fill: _Optional[_Union[_cache_service_pb2.FillResponse, _Mapping]] = ..., delete: _Optional[_Union[_cache_service_pb2.DeleteResponse, _Mapping]] = ..., touch: _Optional[_Union[_cache_service_pb2.TouchResponse, _Mapping]] = ..., invalidate: _Optional[_Union[_cache_service_pb2.InvalidateResponse, _Mapping]] = ..., batch_lease: _Optional[_Union[_cache_service_pb2.BatchLeaseResponse, _Mapping]] = ..., batch_fill: _Optional[_Union[_cache_service_pb2.BatchFillResponse, _Mapping]] = ...) -> None: ...

class PushFrame(_message.Message):
    __slots__ = ("sequence", "keys", "tags", "flush")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    FLUSH_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    keys: _containers.RepeatedScalarFieldContainer[str]
    tags: _containers.RepeatedScalarFieldContainer[str]
    flush: bool
    def __init__(self, sequence: _Optional[int] = ..., keys: _Optional[_Iterable[str]] = ..., tags: _Optional[_Iterable[str]] = ..., flush: _Optional[bool] = ...) -> None: ...

class LeaseExtension(_message.Message):
    __slots__ = ("counted_from_ms", "lease_ms")
    COUNTED_FROM_MS_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    counted_from_ms: int
    lease_ms: int
    def __init__(self, counted_from_ms: _Optional[int] = ..., lease_ms: _Optional[int] = ...) -> None: ...

class Pong(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Drain(_message.Message):
    __slots__ = ("reason", "grace_ms")
    REASON_FIELD_NUMBER: _ClassVar[int]
    GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    reason: _errors_pb2.ErrorReason
    grace_ms: int
    def __init__(self, reason: _Optional[_Union[_errors_pb2.ErrorReason, str]] = ..., grace_ms: _Optional[int] = ...) -> None: ...
