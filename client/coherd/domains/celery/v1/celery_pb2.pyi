import datetime

from coherd.v1 import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TaskMetricsKey(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class WorkerStatusKey(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class TaskMetrics(_message.Message):
    __slots__ = ("task_name", "state", "runtime_ms", "queue_ms", "retries", "worker", "finished_at", "error")
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_MS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    task_name: str
    state: str
    runtime_ms: float
    queue_ms: float
    retries: int
    worker: str
    finished_at: _timestamp_pb2.Timestamp
    error: str
    def __init__(self, task_name: _Optional[str] = ..., state: _Optional[str] = ..., runtime_ms: _Optional[float] = ..., queue_ms: _Optional[float] = ..., retries: _Optional[int] = ..., worker: _Optional[str] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[str] = ...) -> None: ...

class WorkerStatus(_message.Message):
    __slots__ = ("state", "active_tasks", "processed_tasks", "concurrency", "queues", "load_average", "last_heartbeat_at")
    STATE_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_TASKS_FIELD_NUMBER: _ClassVar[int]
    PROCESSED_TASKS_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    LOAD_AVERAGE_FIELD_NUMBER: _ClassVar[int]
    LAST_HEARTBEAT_AT_FIELD_NUMBER: _ClassVar[int]
    state: str
    active_tasks: int
    processed_tasks: int
    concurrency: int
    queues: _containers.RepeatedScalarFieldContainer[str]
    load_average: _containers.RepeatedScalarFieldContainer[float]
    last_heartbeat_at: _timestamp_pb2.Timestamp
    def __init__(self, state: _Optional[str] = ..., active_tasks: _Optional[int] = ..., processed_tasks: _Optional[int] = ..., concurrency: _Optional[int] = ..., queues: _Optional[_Iterable[str]] = ..., load_average: _Optional[_Iterable[float]] = ..., last_heartbeat_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
