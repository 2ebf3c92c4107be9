"""The rpcs of CacheService as a client calls them: one table, from which every transport takes what it needs to know.

What the protos declare is read from them: the name of an rpc, the field that carries it in a session, and what sending
it twice does. What they do not say stands here: which keys an answer may be kept near for, and what a request changes.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message

from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import keys_pb2, session_pb2

Request = TypeVar("Request")
Response = TypeVar("Response", bound=Message)


class Effect(enum.Enum):
    """What sending a request twice does, as `idempotency_level` declares it."""

    READS = "reads"
    """Nothing is ever changed."""
    IDEMPOTENT = "idempotent"
    """Twice is as once."""
    ONCE = "once"
    """It may only be repeated if it surely had no effect."""


class Changed(NamedTuple):
    """What a request may have changed the values of."""

    keys: Sequence[str] = ()
    tags: Sequence[str] = ()
    """Canonical texts: every key that carries one of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Method(Generic[Request, Response]):
    """One rpc of CacheService."""

    rpc: str
    """Its name: ``Get``."""
    message: type[Message]
    """Message of its request."""
    response: type[Response]
    field: str
    """Field of its request in `coherd.v1.Operation`, and of its response in `coherd.v1.OperationResult`; empty where a
    session does not carry it, so that it is always a unary call."""
    effect: Effect
    renews: Callable[[Request], bool] | None = None
    """Whether a request is idempotent although the rpc is not."""
    keeps: Callable[[Request], Sequence[str]] | None = None
    """Keys whose values the answer brings to a near cache, in the order of its results; empty: it brings none."""
    changes: Callable[[Request, Response | None], Changed | None] | None = None
    """What a request changes, given its answer, or None if it failed or was given up, which says nothing of whether it
    was done. Its answer None: that is not known. None in place of the function: the rpc changes no value."""

    def effect_of(self, request: Request) -> Effect:
        """What sending this request twice does."""
        return Effect.IDEMPOTENT if self.renews is not None and self.renews(request) else self.effect

    def message_of(self, request: Request) -> Any:
        """The request as the message of the rpc."""
        return request

    def size_bytes(self, request: Request) -> int:
        """Size of the request's message, or a good guess at it."""
        return int(self.message_of(request).ByteSize())

    def write(self, operation: session_pb2.Operation, request: Request) -> None:
        """Make the request that of a session's operation."""
        getattr(operation, self.field).CopyFrom(request)


KeyRead: TypeAlias = tuple[str, bool]
"""Request of `GET`: canonical key text, and whether a stale value is accepted. A message of it would only be made to be
copied into a frame, which costs a read over a session a tenth more processor time."""


class _Get(Method[KeyRead, pb.GetResponse]):
    """The rpc Get, of a request that is no message."""

    __slots__ = ()

    def message_of(self, request: KeyRead) -> pb.GetRequest:
        key, accept_stale = request
        return pb.GetRequest(key=keys_pb2.Key(text=key), accept_stale=accept_stale)

    def size_bytes(self, request: KeyRead) -> int:
        return len(request[0])

    def write(self, operation: session_pb2.Operation, request: KeyRead) -> None:
        operation.get.key.text, accept_stale = request
        if accept_stale:
            operation.get.accept_stale = True


_EFFECTS: Final = {
    MethodOptions.NO_SIDE_EFFECTS: Effect.READS,
    MethodOptions.IDEMPOTENT: Effect.IDEMPOTENT,
    MethodOptions.IDEMPOTENCY_UNKNOWN: Effect.ONCE,
}
_RPCS: Final = {rpc.input_type.full_name: rpc for rpc in pb.DESCRIPTOR.services_by_name["CacheService"].methods}
_FIELDS: Final = {
    field.message_type.full_name: field.name
    for field in session_pb2.Operation.DESCRIPTOR.oneofs_by_name["request"].fields
    if field.message_type is not None
}


def _declared(
    message: type[Message], response: type[Response]
) -> tuple[str, type[Message], type[Response], str, Effect]:
    """What the protos say of the rpc with these messages: the first fields of its `Method`."""
    name = message.DESCRIPTOR.full_name
    rpc = _RPCS[name]
    return rpc.name, message, response, _FIELDS.get(name, ""), _EFFECTS[rpc.GetOptions().idempotency_level]


def _own_key(request: pb.SetRequest | pb.DeleteRequest | pb.TouchRequest, _: Message | None) -> Changed:
    return Changed((request.key.text,))


def _selected(request: pb.InvalidateRequest, response: pb.InvalidateResponse | None) -> Changed | None:
    """Which tags a selector stands for is said by the answer only."""
    if response is None:
        return None
    keys = [selector.key.text for selector in request.selectors if selector.HasField("key")]
    return Changed(keys, response.tags)


GET: Final = _Get(
    *_declared(pb.GetRequest, pb.GetResponse),
    keeps=lambda request: () if request[1] else request[:1],
)
BATCH_GET: Final[Method[pb.BatchGetRequest, pb.BatchGetResponse]] = Method(
    *_declared(pb.BatchGetRequest, pb.BatchGetResponse),
    keeps=lambda request: () if request.accept_stale else [key.text for key in request.keys],
)
SET: Final[Method[pb.SetRequest, pb.SetResponse]] = Method(*_declared(pb.SetRequest, pb.SetResponse), changes=_own_key)
BATCH_SET: Final[Method[pb.BatchSetRequest, pb.BatchSetResponse]] = Method(
    *_declared(pb.BatchSetRequest, pb.BatchSetResponse),
    changes=lambda request, _: Changed([item.key.text for item in request.items]),
)
LEASE: Final[Method[pb.LeaseRequest, pb.LeaseResponse]] = Method(
    *_declared(pb.LeaseRequest, pb.LeaseResponse),
    renews=lambda request: request.renew,
    keeps=lambda request: () if request.renew else (request.key.text,),
)
"""The time limit covers ``wait_ms`` too.

Unless it renews, a request that may have arrived is never sent again: a late copy could grant the key anew to a token
under which a load already runs, and so make a value storable that was loaded before a change (P1). Callers repeat with
another token.
"""
BATCH_LEASE: Final[Method[pb.BatchLeaseRequest, pb.BatchLeaseResponse]] = Method(
    *_declared(pb.BatchLeaseRequest, pb.BatchLeaseResponse),
    renews=lambda request: all(item.renew for item in request.items),
)
"""Repeated as `LEASE` is."""
FILL: Final[Method[pb.FillRequest, pb.FillResponse]] = Method(
    *_declared(pb.FillRequest, pb.FillResponse), changes=lambda request, _: Changed((request.set.key.text,))
)
BATCH_FILL: Final[Method[pb.BatchFillRequest, pb.BatchFillResponse]] = Method(
    *_declared(pb.BatchFillRequest, pb.BatchFillResponse),
    changes=lambda request, _: Changed([item.set.key.text for item in request.items]),
)
DELETE: Final[Method[pb.DeleteRequest, pb.DeleteResponse]] = Method(
    *_declared(pb.DeleteRequest, pb.DeleteResponse), changes=_own_key
)
TOUCH: Final[Method[pb.TouchRequest, pb.TouchResponse]] = Method(
    *_declared(pb.TouchRequest, pb.TouchResponse), changes=_own_key
)
INVALIDATE: Final[Method[pb.InvalidateRequest, pb.InvalidateResponse]] = Method(
    *_declared(pb.InvalidateRequest, pb.InvalidateResponse), changes=_selected
)
METRICS: Final[Method[pb.MetricsRequest, pb.MetricsResponse]] = Method(
    *_declared(pb.MetricsRequest, pb.MetricsResponse)
)
DESCRIBE_CATALOG: Final[Method[pb.DescribeCatalogRequest, pb.DescribeCatalogResponse]] = Method(
    *_declared(pb.DescribeCatalogRequest, pb.DescribeCatalogResponse)
)

METHODS: Final[dict[str, Method[Any, Any]]] = {
    method.rpc: method
    for method in (
        *(GET, BATCH_GET, SET, BATCH_SET, LEASE, BATCH_LEASE, FILL, BATCH_FILL),
        *(DELETE, TOUCH, INVALIDATE, METRICS, DESCRIBE_CATALOG),
    )
}
"""All of them, by the name of the rpc. Erase is not the client's: an operator's tool calls it."""
