from coherd.v1 import annotations_pb2 as _annotations_pb2
from coherd.v1 import values_pb2 as _values_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class AssessmentKey(_message.Message):
    __slots__ = ("hash",)
    HASH_FIELD_NUMBER: _ClassVar[int]
    hash: str
    def __init__(self, hash: _Optional[str] = ...) -> None: ...

class UserRiskKey(_message.Message):
    __slots__ = ("user",)
    USER_FIELD_NUMBER: _ClassVar[int]
    user: str
    def __init__(self, user: _Optional[str] = ...) -> None: ...

class TrendsKey(_message.Message):
    __slots__ = ("timeframe",)
    TIMEFRAME_FIELD_NUMBER: _ClassVar[int]
    timeframe: str
    def __init__(self, timeframe: _Optional[str] = ...) -> None: ...
