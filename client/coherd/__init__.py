"""Typed access to a Coherd cache service::

    from coherd import CacheClient
    from coherd.domains import analytics
    from coherd.domains.tags import User

    async with CacheClient.connect("localhost:50051") as cache:
        await cache.set(analytics.Daily(user="user123", date="20250806"), {"words": 812})
        await cache.invalidate(User("user123"))

Names are loaded when first used: what only needs keys or the contract loads no gRPC.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from coherd._loading.events import LoadEvent, LoadEventKind
    from coherd._loading.policy import NOTHING, LoadLimits, LoadPolicy
    from coherd._native import implementation
    from coherd._rpc.connection_events import ConnectionEvent, ConnectionEventKind
    from coherd._rpc.failure_policy import FailurePolicy
    from coherd._rpc.session_transport import NearCacheBounds
    from coherd._rpc.tls import TlsConfig
    from coherd.client import CacheClient
    from coherd.codec import ValueDecodeError, ValueEncodeError
    from coherd.contract.reasons import Refusal, Retry
    from coherd.errors import (
        BatchError,
        CacheError,
        ClientClosed,
        Contended,
        DeadlineExceeded,
        ForeignValue,
        InvalidRequest,
        LoadCancelled,
        LoadCircle,
        LoadTimeout,
        NoLoaderThread,
        NotPermitted,
        NotServed,
        OutcomeUnknown,
        Overloaded,
        ServerDefect,
        StoreFull,
        Unavailable,
        UndecodableValue,
    )
    from coherd.key import Key, OpenKey
    from coherd.results import Entry, InvalidateResult, SetOutcome, SetResult
    from coherd.selectors import Domain, NamedInvalidation, Resource, Selector, Tag
    from coherd.v1.cache_service_pb2 import DomainMetrics
    from coherd.v1.errors_pb2 import ErrorReason
    from coherd.values import CustomCodec, PydanticCodec, ValueCodec, with_values

__all__ = [
    "NOTHING",
    "BatchError",
    "CacheClient",
    "CacheError",
    "ClientClosed",
    "ConnectionEvent",
    "ConnectionEventKind",
    "Contended",
    "CustomCodec",
    "DeadlineExceeded",
    "Domain",
    "DomainMetrics",
    "Entry",
    "ErrorReason",
    "FailurePolicy",
    "ForeignValue",
    "InvalidRequest",
    "InvalidateResult",
    "Key",
    "LoadCancelled",
    "LoadCircle",
    "LoadEvent",
    "LoadEventKind",
    "LoadLimits",
    "LoadPolicy",
    "LoadTimeout",
    "NamedInvalidation",
    "NearCacheBounds",
    "NoLoaderThread",
    "NotPermitted",
    "NotServed",
    "OpenKey",
    "OutcomeUnknown",
    "Overloaded",
    "PydanticCodec",
    "Refusal",
    "Resource",
    "Retry",
    "Selector",
    "ServerDefect",
    "SetOutcome",
    "SetResult",
    "StoreFull",
    "Tag",
    "TlsConfig",
    "Unavailable",
    "UndecodableValue",
    "ValueCodec",
    "ValueDecodeError",
    "ValueEncodeError",
    "implementation",
    "with_values",
]

_HOMES: Final = {
    "coherd.client": ("CacheClient",),
    "coherd.codec": ("ValueDecodeError", "ValueEncodeError"),
    "coherd.contract.reasons": ("Refusal", "Retry"),
    "coherd.key": ("Key", "OpenKey"),
    "coherd._loading.events": ("LoadEvent", "LoadEventKind"),
    "coherd._loading.policy": ("NOTHING", "LoadLimits", "LoadPolicy"),
    "coherd._native": ("implementation",),
    "coherd.results": ("Entry", "InvalidateResult", "SetOutcome", "SetResult"),
    "coherd.selectors": ("Domain", "NamedInvalidation", "Resource", "Selector", "Tag"),
    "coherd._rpc.connection_events": ("ConnectionEvent", "ConnectionEventKind"),
    "coherd._rpc.failure_policy": ("FailurePolicy",),
    "coherd._rpc.session_transport": ("NearCacheBounds",),
    "coherd._rpc.tls": ("TlsConfig",),
    "coherd.v1.cache_service_pb2": ("DomainMetrics",),
    "coherd.v1.errors_pb2": ("ErrorReason",),
    "coherd.values": ("CustomCodec", "PydanticCodec", "ValueCodec", "with_values"),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'coherd' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF.get(name, "coherd.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
