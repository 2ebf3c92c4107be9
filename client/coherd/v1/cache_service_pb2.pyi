import datetime

from coherd.v1 import annotations_pb2 as _annotations_pb2
from coherd.v1 import errors_pb2 as _errors_pb2
from coherd.v1 import keys_pb2 as _keys_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MissReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MISS_REASON_UNSPECIFIED: _ClassVar[MissReason]
    MISS_REASON_ABSENT: _ClassVar[MissReason]
    MISS_REASON_INVALIDATED: _ClassVar[MissReason]
    MISS_REASON_FOREIGN: _ClassVar[MissReason]
    MISS_REASON_EXPIRED: _ClassVar[MissReason]
    MISS_REASON_LATER_FORMAT: _ClassVar[MissReason]

class SetOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SET_OUTCOME_UNSPECIFIED: _ClassVar[SetOutcome]
    SET_OUTCOME_STORED: _ClassVar[SetOutcome]
    SET_OUTCOME_PRESENT: _ClassVar[SetOutcome]
    SET_OUTCOME_OLDER_VERSION: _ClassVar[SetOutcome]

class FillOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILL_OUTCOME_UNSPECIFIED: _ClassVar[FillOutcome]
    FILL_OUTCOME_STORED: _ClassVar[FillOutcome]
    FILL_OUTCOME_REJECTED: _ClassVar[FillOutcome]
    FILL_OUTCOME_ABANDONED: _ClassVar[FillOutcome]

class PolicySource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POLICY_SOURCE_UNSPECIFIED: _ClassVar[PolicySource]
    POLICY_SOURCE_DOMAIN: _ClassVar[PolicySource]
    POLICY_SOURCE_RESOURCE: _ClassVar[PolicySource]
    POLICY_SOURCE_OPERATOR: _ClassVar[PolicySource]
MISS_REASON_UNSPECIFIED: MissReason
MISS_REASON_ABSENT: MissReason
MISS_REASON_INVALIDATED: MissReason
MISS_REASON_FOREIGN: MissReason
MISS_REASON_EXPIRED: MissReason
MISS_REASON_LATER_FORMAT: MissReason
SET_OUTCOME_UNSPECIFIED: SetOutcome
SET_OUTCOME_STORED: SetOutcome
SET_OUTCOME_PRESENT: SetOutcome
SET_OUTCOME_OLDER_VERSION: SetOutcome
FILL_OUTCOME_UNSPECIFIED: FillOutcome
FILL_OUTCOME_STORED: FillOutcome
FILL_OUTCOME_REJECTED: FillOutcome
FILL_OUTCOME_ABANDONED: FillOutcome
POLICY_SOURCE_UNSPECIFIED: PolicySource
POLICY_SOURCE_DOMAIN: PolicySource
POLICY_SOURCE_RESOURCE: PolicySource
POLICY_SOURCE_OPERATOR: PolicySource

class GetRequest(_message.Message):
    __slots__ = ("key", "accept_stale")
    KEY_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_STALE_FIELD_NUMBER: _ClassVar[int]
    key: _keys_pb2.Key
    accept_stale: bool
    def __init__(self, key: _Optional[_Union[_keys_pb2.Key, _Mapping]] = ..., accept_stale: _Optional[bool] = ...) -> None: ...

class Hit(_message.Message):
    __slots__ = ("value", "age_ms", "remaining_ttl_ms", "stale", "negative", "version", "extra_tags", "near_cacheable")
    class ExtraTagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VALUE_FIELD_NUMBER: _ClassVar[int]
    AGE_MS_FIELD_NUMBER: _ClassVar[int]
    REMAINING_TTL_MS_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EXTRA_TAGS_FIELD_NUMBER: _ClassVar[int]
    NEAR_CACHEABLE_FIELD_NUMBER: _ClassVar[int]
    value: bytes
    age_ms: int
    remaining_ttl_ms: int
    stale: bool
    negative: bool
    version: int
    extra_tags: _containers.ScalarMap[str, str]
    near_cacheable: bool
    def __init__(self, value: _Optional[bytes] = ..., age_ms: _Optional[int] = ..., remaining_ttl_ms: _Optional[int] = ..., stale: _Optional[bool] = ..., negative: _Optional[bool] = ..., version: _Optional[int] = ..., extra_tags: _Optional[_Mapping[str, str]] = ..., near_cacheable: _Optional[bool] = ...) -> None: ...

class Miss(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: MissReason
    def __init__(self, reason: _Optional[_Union[MissReason, str]] = ...) -> None: ...

class GetResponse(_message.Message):
    __slots__ = ("hit", "miss")
    HIT_FIELD_NUMBER: _ClassVar[int]
    MISS_FIELD_NUMBER: _ClassVar[int]
    hit: Hit
    miss: Miss
    def __init__(self, hit: _Optional[_Union[Hit, _Mapping]] = ..., miss: _Optional[_Union[Miss, _Mapping]] = ...) -> None: ...

class ItemError(_message.Message):
    __slots__ = ("reason", "message", "field", "retry_after_ms")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    reason: _errors_pb2.ErrorReason
    message: str
    field: str
    retry_after_ms: int
    def __init__(self, reason: _Optional[_Union[_errors_pb2.ErrorReason, str]] = ..., message: _Optional[str] = ..., field: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class BatchGetRequest(_message.Message):
    __slots__ = ("keys", "accept_stale")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_STALE_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[_keys_pb2.Key]
    accept_stale: bool
    def __init__(self, keys: _Optional[_Iterable[_Union[_keys_pb2.Key, _Mapping]]] = ..., accept_stale: _Optional[bool] = ...) -> None: ...

class BatchGetResult(_message.Message):
    __slots__ = ("hit", "miss", "error")
    HIT_FIELD_NUMBER: _ClassVar[int]
    MISS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    hit: Hit
    miss: Miss
    error: ItemError
    def __init__(self, hit: _Optional[_Union[Hit, _Mapping]] = ..., miss: _Optional[_Union[Miss, _Mapping]] = ..., error: _Optional[_Union[ItemError, _Mapping]] = ...) -> None: ...

class BatchGetResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchGetResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchGetResult, _Mapping]]] = ...) -> None: ...

class SetRequest(_message.Message):
    __slots__ = ("key", "value", "ttl_ms", "extra_tags", "only_if_absent", "version", "negative")
    class ExtraTagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    EXTRA_TAGS_FIELD_NUMBER: _ClassVar[int]
    ONLY_IF_ABSENT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_FIELD_NUMBER: _ClassVar[int]
    key: _keys_pb2.Key
    value: bytes
    ttl_ms: int
    extra_tags: _containers.ScalarMap[str, str]
    only_if_absent: bool
    version: int
    negative: bool
    def __init__(self, key: _Optional[_Union[_keys_pb2.Key, _Mapping]] = ..., value: _Optional[bytes] = ..., ttl_ms: _Optional[int] = ..., extra_tags: _Optional[_Mapping[str, str]] = ..., only_if_absent: _Optional[bool] = ..., version: _Optional[int] = ..., negative: _Optional[bool] = ...) -> None: ...

class SetResponse(_message.Message):
    __slots__ = ("outcome", "ttl_ms")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    outcome: SetOutcome
    ttl_ms: int
    def __init__(self, outcome: _Optional[_Union[SetOutcome, str]] = ..., ttl_ms: _Optional[int] = ...) -> None: ...

class BatchSetRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[SetRequest]
    def __init__(self, items: _Optional[_Iterable[_Union[SetRequest, _Mapping]]] = ...) -> None: ...

class BatchSetResult(_message.Message):
    __slots__ = ("set", "error")
    SET_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    set: SetResponse
    error: ItemError
    def __init__(self, set: _Optional[_Union[SetResponse, _Mapping]] = ..., error: _Optional[_Union[ItemError, _Mapping]] = ...) -> None: ...

class BatchSetResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchSetResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchSetResult, _Mapping]]] = ...) -> None: ...

class LeaseRequest(_message.Message):
    __slots__ = ("key", "token", "lease_ms", "wait_ms", "extra_tags", "renew", "grant", "callers", "counted")
    class ExtraTagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KEY_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    EXTRA_TAGS_FIELD_NUMBER: _ClassVar[int]
    RENEW_FIELD_NUMBER: _ClassVar[int]
    GRANT_FIELD_NUMBER: _ClassVar[int]
    CALLERS_FIELD_NUMBER: _ClassVar[int]
    COUNTED_FIELD_NUMBER: _ClassVar[int]
    key: _keys_pb2.Key
    token: bytes
    lease_ms: int
    wait_ms: int
    extra_tags: _containers.ScalarMap[str, str]
    renew: bool
    grant: bytes
    callers: int
    counted: int
    def __init__(self, key: _Optional[_Union[_keys_pb2.Key, _Mapping]] = ..., token: _Optional[bytes] = ..., lease_ms: _Optional[int] = ..., wait_ms: _Optional[int] = ..., extra_tags: _Optional[_Mapping[str, str]] = ..., renew: _Optional[bool] = ..., grant: _Optional[bytes] = ..., callers: _Optional[int] = ..., counted: _Optional[int] = ...) -> None: ...

class LeaseGranted(_message.Message):
    __slots__ = ("lease_ms", "stale", "grant")
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    GRANT_FIELD_NUMBER: _ClassVar[int]
    lease_ms: int
    stale: Hit
    grant: bytes
    def __init__(self, lease_ms: _Optional[int] = ..., stale: _Optional[_Union[Hit, _Mapping]] = ..., grant: _Optional[bytes] = ...) -> None: ...

class LeaseHeld(_message.Message):
    __slots__ = ("stale", "retry_after_ms")
    STALE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    stale: Hit
    retry_after_ms: int
    def __init__(self, stale: _Optional[_Union[Hit, _Mapping]] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class LeaseResponse(_message.Message):
    __slots__ = ("hit", "granted", "held")
    HIT_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    hit: Hit
    granted: LeaseGranted
    held: LeaseHeld
    def __init__(self, hit: _Optional[_Union[Hit, _Mapping]] = ..., granted: _Optional[_Union[LeaseGranted, _Mapping]] = ..., held: _Optional[_Union[LeaseHeld, _Mapping]] = ...) -> None: ...

class FillRequest(_message.Message):
    __slots__ = ("set", "token", "grant", "load_ms", "abandon", "cooldown_ms")
    SET_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    GRANT_FIELD_NUMBER: _ClassVar[int]
    LOAD_MS_FIELD_NUMBER: _ClassVar[int]
    ABANDON_FIELD_NUMBER: _ClassVar[int]
    COOLDOWN_MS_FIELD_NUMBER: _ClassVar[int]
    set: SetRequest
    token: bytes
    grant: bytes
    load_ms: int
    abandon: bool
    cooldown_ms: int
    def __init__(self, set: _Optional[_Union[SetRequest, _Mapping]] = ..., token: _Optional[bytes] = ..., grant: _Optional[bytes] = ..., load_ms: _Optional[int] = ..., abandon: _Optional[bool] = ..., cooldown_ms: _Optional[int] = ...) -> None: ...

class FillResponse(_message.Message):
    __slots__ = ("outcome", "ttl_ms")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    outcome: FillOutcome
    ttl_ms: int
    def __init__(self, outcome: _Optional[_Union[FillOutcome, str]] = ..., ttl_ms: _Optional[int] = ...) -> None: ...

class BatchLeaseRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[LeaseRequest]
    def __init__(self, items: _Optional[_Iterable[_Union[LeaseRequest, _Mapping]]] = ...) -> None: ...

class BatchLeaseResult(_message.Message):
    __slots__ = ("lease", "error")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    lease: LeaseResponse
    error: ItemError
    def __init__(self, lease: _Optional[_Union[LeaseResponse, _Mapping]] = ..., error: _Optional[_Union[ItemError, _Mapping]] = ...) -> None: ...

class BatchLeaseResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchLeaseResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchLeaseResult, _Mapping]]] = ...) -> None: ...

class BatchFillRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[FillRequest]
    def __init__(self, items: _Optional[_Iterable[_Union[FillRequest, _Mapping]]] = ...) -> None: ...

class BatchFillResult(_message.Message):
    __slots__ = ("fill", "error")
    FILL_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    fill: FillResponse
    error: ItemError
    def __init__(self, fill: _Optional[_Union[FillResponse, _Mapping]] = ..., error: _Optional[_Union[ItemError, _Mapping]] = ...) -> None: ...

class BatchFillResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchFillResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchFillResult, _Mapping]]] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: _keys_pb2.Key
    def __init__(self, key: _Optional[_Union[_keys_pb2.Key, _Mapping]] = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ("existed",)
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    existed: bool
    def __init__(self, existed: _Optional[bool] = ...) -> None: ...

class TouchRequest(_message.Message):
    __slots__ = ("key", "ttl_ms")
    KEY_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    key: _keys_pb2.Key
    ttl_ms: int
    def __init__(self, key: _Optional[_Union[_keys_pb2.Key, _Mapping]] = ..., ttl_ms: _Optional[int] = ...) -> None: ...

class TouchResponse(_message.Message):
    __slots__ = ("touched", "ttl_ms")
    TOUCHED_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    touched: bool
    ttl_ms: int
    def __init__(self, touched: _Optional[bool] = ..., ttl_ms: _Optional[int] = ...) -> None: ...

class InvalidateRequest(_message.Message):
    __slots__ = ("selectors", "wait_for_near_caches")
    SELECTORS_FIELD_NUMBER: _ClassVar[int]
    WAIT_FOR_NEAR_CACHES_FIELD_NUMBER: _ClassVar[int]
    selectors: _containers.RepeatedCompositeFieldContainer[_keys_pb2.Selector]
    wait_for_near_caches: bool
    def __init__(self, selectors: _Optional[_Iterable[_Union[_keys_pb2.Selector, _Mapping]]] = ..., wait_for_near_caches: _Optional[bool] = ...) -> None: ...

class InvalidateResponse(_message.Message):
    __slots__ = ("tags", "deleted_keys")
    TAGS_FIELD_NUMBER: _ClassVar[int]
    DELETED_KEYS_FIELD_NUMBER: _ClassVar[int]
    tags: _containers.RepeatedScalarFieldContainer[str]
    deleted_keys: int
    def __init__(self, tags: _Optional[_Iterable[str]] = ..., deleted_keys: _Optional[int] = ...) -> None: ...

class MetricsRequest(_message.Message):
    __slots__ = ("domains",)
    DOMAINS_FIELD_NUMBER: _ClassVar[int]
    domains: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, domains: _Optional[_Iterable[str]] = ...) -> None: ...

class LatencyQuantiles(_message.Message):
    __slots__ = ("count", "p50_us", "p90_us", "p99_us")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    P50_US_FIELD_NUMBER: _ClassVar[int]
    P90_US_FIELD_NUMBER: _ClassVar[int]
    P99_US_FIELD_NUMBER: _ClassVar[int]
    count: int
    p50_us: float
    p90_us: float
    p99_us: float
    def __init__(self, count: _Optional[int] = ..., p50_us: _Optional[float] = ..., p90_us: _Optional[float] = ..., p99_us: _Optional[float] = ...) -> None: ...

class KeyspaceCount(_message.Message):
    __slots__ = ("keys", "bytes", "counted_at")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    COUNTED_AT_FIELD_NUMBER: _ClassVar[int]
    keys: int
    bytes: int
    counted_at: _timestamp_pb2.Timestamp
    def __init__(self, keys: _Optional[int] = ..., bytes: _Optional[int] = ..., counted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ResourceMetrics(_message.Message):
    __slots__ = ("resource", "key_pattern", "recommended_ttl_ms", "keyspace", "unavailable")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    KEY_PATTERN_FIELD_NUMBER: _ClassVar[int]
    RECOMMENDED_TTL_MS_FIELD_NUMBER: _ClassVar[int]
    KEYSPACE_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_FIELD_NUMBER: _ClassVar[int]
    resource: str
    key_pattern: str
    recommended_ttl_ms: int
    keyspace: KeyspaceCount
    unavailable: bool
    def __init__(self, resource: _Optional[str] = ..., key_pattern: _Optional[str] = ..., recommended_ttl_ms: _Optional[int] = ..., keyspace: _Optional[_Union[KeyspaceCount, _Mapping]] = ..., unavailable: _Optional[bool] = ...) -> None: ...

class DomainMetrics(_message.Message):
    __slots__ = ("domain", "hits", "stale_hits", "misses", "near_cache_hits", "hit_ratio", "sets", "fills", "rejected_fills", "loads_avoided", "invalidations", "deletes", "read_bytes", "written_bytes", "foreign", "dead", "recommended_ttl_ms", "resources", "keyspace", "read_latency", "write_latency", "unavailable", "uncounted")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    STALE_HITS_FIELD_NUMBER: _ClassVar[int]
    MISSES_FIELD_NUMBER: _ClassVar[int]
    NEAR_CACHE_HITS_FIELD_NUMBER: _ClassVar[int]
    HIT_RATIO_FIELD_NUMBER: _ClassVar[int]
    SETS_FIELD_NUMBER: _ClassVar[int]
    FILLS_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FILLS_FIELD_NUMBER: _ClassVar[int]
    LOADS_AVOIDED_FIELD_NUMBER: _ClassVar[int]
    INVALIDATIONS_FIELD_NUMBER: _ClassVar[int]
    DELETES_FIELD_NUMBER: _ClassVar[int]
    READ_BYTES_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_BYTES_FIELD_NUMBER: _ClassVar[int]
    FOREIGN_FIELD_NUMBER: _ClassVar[int]
    DEAD_FIELD_NUMBER: _ClassVar[int]
    RECOMMENDED_TTL_MS_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    KEYSPACE_FIELD_NUMBER: _ClassVar[int]
    READ_LATENCY_FIELD_NUMBER: _ClassVar[int]
    WRITE_LATENCY_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_FIELD_NUMBER: _ClassVar[int]
    UNCOUNTED_FIELD_NUMBER: _ClassVar[int]
    domain: str
    hits: int
    stale_hits: int
    misses: int
    near_cache_hits: int
    hit_ratio: float
    sets: int
    fills: int
    rejected_fills: int
    loads_avoided: int
    invalidations: int
    deletes: int
    read_bytes: int
    written_bytes: int
    foreign: int
    dead: int
    recommended_ttl_ms: int
    resources: _containers.RepeatedCompositeFieldContainer[ResourceMetrics]
    keyspace: KeyspaceCount
    read_latency: LatencyQuantiles
    write_latency: LatencyQuantiles
    unavailable: bool
    uncounted: bool
    def __init__(self, domain: _Optional[str] = ..., hits: _Optional[int] = ..., stale_hits: _Optional[int] = ..., misses: _Optional[int] = ..., near_cache_hits: _Optional[int] = ..., hit_ratio: _Optional[float] = ..., sets: _Optional[int] = ..., fills: _Optional[int] = ..., rejected_fills: _Optional[int] = ..., loads_avoided: _Optional[int] = ..., invalidations: _Optional[int] = ..., deletes: _Optional[int] = ..., read_bytes: _Optional[int] = ..., written_bytes: _Optional[int] = ..., foreign: _Optional[int] = ..., dead: _Optional[int] = ..., recommended_ttl_ms: _Optional[int] = ..., resources: _Optional[_Iterable[_Union[ResourceMetrics, _Mapping]]] = ..., keyspace: _Optional[_Union[KeyspaceCount, _Mapping]] = ..., read_latency: _Optional[_Union[LatencyQuantiles, _Mapping]] = ..., write_latency: _Optional[_Union[LatencyQuantiles, _Mapping]] = ..., unavailable: _Optional[bool] = ..., uncounted: _Optional[bool] = ...) -> None: ...

class MetricsResponse(_message.Message):
    __slots__ = ("domains",)
    DOMAINS_FIELD_NUMBER: _ClassVar[int]
    domains: _containers.RepeatedCompositeFieldContainer[DomainMetrics]
    def __init__(self, domains: _Optional[_Iterable[_Union[DomainMetrics, _Mapping]]] = ...) -> None: ...

class EraseRequest(_message.Message):
    __slots__ = ("person",)
    PERSON_FIELD_NUMBER: _ClassVar[int]
    person: _keys_pb2.NamedInvalidation
    def __init__(self, person: _Optional[_Union[_keys_pb2.NamedInvalidation, _Mapping]] = ...) -> None: ...

class EraseResponse(_message.Message):
    __slots__ = ("tags", "unlinked_keys", "complete")
    TAGS_FIELD_NUMBER: _ClassVar[int]
    UNLINKED_KEYS_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    tags: int
    unlinked_keys: int
    complete: bool
    def __init__(self, tags: _Optional[int] = ..., unlinked_keys: _Optional[int] = ..., complete: _Optional[bool] = ...) -> None: ...

class DescribeCatalogRequest(_message.Message):
    __slots__ = ("domains",)
    DOMAINS_FIELD_NUMBER: _ClassVar[int]
    domains: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, domains: _Optional[_Iterable[str]] = ...) -> None: ...

class PolicyDescription(_message.Message):
    __slots__ = ("ttl_ms", "ttl_source", "max_ttl_ms", "stale_ms", "negative_ttl_ms", "jitter", "early_refresh")
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    TTL_SOURCE_FIELD_NUMBER: _ClassVar[int]
    MAX_TTL_MS_FIELD_NUMBER: _ClassVar[int]
    STALE_MS_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_TTL_MS_FIELD_NUMBER: _ClassVar[int]
    JITTER_FIELD_NUMBER: _ClassVar[int]
    EARLY_REFRESH_FIELD_NUMBER: _ClassVar[int]
    ttl_ms: int
    ttl_source: PolicySource
    max_ttl_ms: int
    stale_ms: int
    negative_ttl_ms: int
    jitter: float
    early_refresh: float
    def __init__(self, ttl_ms: _Optional[int] = ..., ttl_source: _Optional[_Union[PolicySource, str]] = ..., max_ttl_ms: _Optional[int] = ..., stale_ms: _Optional[int] = ..., negative_ttl_ms: _Optional[int] = ..., jitter: _Optional[float] = ..., early_refresh: _Optional[float] = ...) -> None: ...

class IdentifierDescription(_message.Message):
    __slots__ = ("name", "type", "unit", "is_tag", "personal", "documentation")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    IS_TAG_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTATION_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    unit: str
    is_tag: bool
    personal: bool
    documentation: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., unit: _Optional[str] = ..., is_tag: _Optional[bool] = ..., personal: _Optional[bool] = ..., documentation: _Optional[str] = ...) -> None: ...

class ResourceDescription(_message.Message):
    __slots__ = ("name", "key_pattern", "identifiers", "value_type", "policy", "method", "documentation")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KEY_PATTERN_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    VALUE_TYPE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTATION_FIELD_NUMBER: _ClassVar[int]
    name: str
    key_pattern: str
    identifiers: _containers.RepeatedCompositeFieldContainer[IdentifierDescription]
    value_type: str
    policy: PolicyDescription
    method: str
    documentation: str
    def __init__(self, name: _Optional[str] = ..., key_pattern: _Optional[str] = ..., identifiers: _Optional[_Iterable[_Union[IdentifierDescription, _Mapping]]] = ..., value_type: _Optional[str] = ..., policy: _Optional[_Union[PolicyDescription, _Mapping]] = ..., method: _Optional[str] = ..., documentation: _Optional[str] = ...) -> None: ...

class DomainDescription(_message.Message):
    __slots__ = ("name", "resources", "tags", "policy", "near_cache", "on_failover", "open", "sensitive", "documentation")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    NEAR_CACHE_FIELD_NUMBER: _ClassVar[int]
    ON_FAILOVER_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    SENSITIVE_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTATION_FIELD_NUMBER: _ClassVar[int]
    name: str
    resources: _containers.RepeatedCompositeFieldContainer[ResourceDescription]
    tags: _containers.RepeatedScalarFieldContainer[str]
    policy: PolicyDescription
    near_cache: _annotations_pb2.NearCache
    on_failover: _annotations_pb2.OnFailover
    open: bool
    sensitive: bool
    documentation: str
    def __init__(self, name: _Optional[str] = ..., resources: _Optional[_Iterable[_Union[ResourceDescription, _Mapping]]] = ..., tags: _Optional[_Iterable[str]] = ..., policy: _Optional[_Union[PolicyDescription, _Mapping]] = ..., near_cache: _Optional[_Union[_annotations_pb2.NearCache, str]] = ..., on_failover: _Optional[_Union[_annotations_pb2.OnFailover, str]] = ..., open: _Optional[bool] = ..., sensitive: _Optional[bool] = ..., documentation: _Optional[str] = ...) -> None: ...

class InvalidationDescription(_message.Message):
    __slots__ = ("name", "summary", "tags")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    name: str
    summary: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., summary: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ...) -> None: ...

class DescribeCatalogResponse(_message.Message):
    __slots__ = ("domains", "invalidations", "fingerprint")
    DOMAINS_FIELD_NUMBER: _ClassVar[int]
    INVALIDATIONS_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    domains: _containers.RepeatedCompositeFieldContainer[DomainDescription]
    invalidations: _containers.RepeatedCompositeFieldContainer[InvalidationDescription]
    fingerprint: str
    def __init__(self, domains: _Optional[_Iterable[_Union[DomainDescription, _Mapping]]] = ..., invalidations: _Optional[_Iterable[_Union[InvalidationDescription, _Mapping]]] = ..., fingerprint: _Optional[str] = ...) -> None: ...
