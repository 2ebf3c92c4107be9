from coherd.v1 import annotations_pb2 as _annotations_pb2
from coherd.v1 import values_pb2 as _values_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class DailyKey(_message.Message):
    __slots__ = ("user", "date")
    USER_FIELD_NUMBER: _ClassVar[int]
    DATE_FIELD_NUMBER: _ClassVar[int]
    user: str
    date: str
    def __init__(self, user: _Optional[str] = ..., date: _Optional[str] = ...) -> None: ...

class MoodTrendsKey(_message.Message):
    __slots__ = ("user", "range")
    USER_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    user: str
    range: str
    def __init__(self, user: _Optional[str] = ..., range: _Optional[str] = ...) -> None: ...

class WritingStatsKey(_message.Message):
    __slots__ = ("user", "days")
    USER_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    user: str
    days: int
    def __init__(self, user: _Optional[str] = ..., days: _Optional[int] = ...) -> None: ...

class ContentEngagementKey(_message.Message):
    __slots__ = ("content",)
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    content: str
    def __init__(self, content: _Optional[str] = ...) -> None: ...
