from coherd.v1 import annotations_pb2 as _annotations_pb2
from coherd.v1 import values_pb2 as _values_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class SystemHealthKey(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ComponentStatusKey(_message.Message):
    __slots__ = ("component",)
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    component: str
    def __init__(self, component: _Optional[str] = ...) -> None: ...

class PerformanceMetricsKey(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CleanupReportKey(_message.Message):
    __slots__ = ("date",)
    DATE_FIELD_NUMBER: _ClassVar[int]
    date: str
    def __init__(self, date: _Optional[str] = ...) -> None: ...
