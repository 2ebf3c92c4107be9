"""The rpcs of CacheService as a client calls them: one table, from which every transport takes what it needs to know.

What the protos declare is read from them: the name of an rpc, the field that carries it in a session, and what sending
it twice does. What they do not say stands here: which keys an answer may be kept near for, and what a request changes.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeVar

from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message

from coherd._rpc.columns import SET_OUTCOMES, GetAnswer
from coherd._rpc.frames import SetOptions
from coherd._rpc.status import error_of_item
from coherd.errors import CacheError, ServerDefect
from coherd.results import SetResult
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import keys_pb2, session_pb2

Request = TypeVar("Request")
Response = TypeVar("Response")


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
    """One rpc of CacheService. A request is its message, but for gets and sets: these have leaner forms, which cost a
    session no message for each; so have their answers."""

    is_columns: ClassVar[bool] = False
    """Whether a session carries it in columns."""
    rpc: str
    """Its name: ``Get``."""
    message: type[Message]
    """Message of its request."""
    response: type[Message]
    """Message of its answer."""
    field: str
    """Field of its request in `coherd.v1.Operation`, and of its answer in `coherd.v1.OperationResult`; empty where it
    is no operation of a session: gets and sets are columns, the rest is always a unary call."""
    effect: Effect
    renews: Callable[[Request], bool] | None = None
    """Whether a request is idempotent although the rpc is not."""
    keeps: Callable[[Request], str] | None = None
    """Of an operation: the key whose value the answer brings to a near cache; empty: it brings none."""
    changes: Callable[[Request, Response | None], Changed | None] | None = None
    """What a request changes, given its answer, or None if it failed or was given up, which says nothing of whether it
    was done. Its answer None: that is not known. None in place of the function: the rpc changes no value."""

    def effect_of(self, request: Request) -> Effect:
        """What sending this request twice does."""
        return Effect.IDEMPOTENT if self.renews is not None and self.renews(request) else self.effect

    def message_of(self, request: Request) -> Any:
        """The request as the message of the rpc."""
        return request

    def answer_of(self, message: Any) -> Response:
        """The answer in a message of the rpc.

        Raises:
            ServerDefect: it is none.
        """
        return message  # type: ignore[no-any-return]

    def size_bytes(self, request: Request) -> int:
        """Size of the request's message, or a good guess at it."""
        return int(self.message_of(request).ByteSize())


class KeyRead(NamedTuple):
    """Request of `GET`."""

    key: str
    """Canonical text."""
    accept_stale: bool = False
    whole: bool = False
    """A value is wanted with all that is known of it, as a message."""


class KeysRead(NamedTuple):
    """Request of `BATCH_GET`."""

    keys: Sequence[str]
    """Canonical texts, at least one."""
    accept_stale: bool = False


class ValueSet(NamedTuple):
    """Request of `SET`."""

    key: str
    """Canonical text."""
    value: bytes
    options: SetOptions = SetOptions()
    version: int | None = None

    @property
    def message(self) -> pb.SetRequest:
        """As a message.

        Raises:
            TypeError: something is not of its type.
            ValueError: a number is out of its range.
        """
        return pb.SetRequest(
            key=keys_pb2.Key(text=self.key),
            value=self.value,
            ttl_ms=self.options.ttl_ms,
            extra_tags=self.options.extra_tags,
            only_if_absent=self.options.only_if_absent,
            version=self.version,
            negative=self.options.negative,
        )


class ValuesSet(NamedTuple):
    """Request of `BATCH_SET`."""

    keys: Sequence[str]
    """Canonical texts, at least one."""
    values: Sequence[bytes]
    """One for each key."""
    options: SetOptions = SetOptions()
    """Of all of them."""


class _Get(Method[KeyRead, GetAnswer]):
    """The rpc Get."""

    __slots__ = ()
    is_columns = True

    def message_of(self, request: KeyRead) -> pb.GetRequest:
        key, accept_stale, _ = request
        return pb.GetRequest(key=keys_pb2.Key(text=key), accept_stale=accept_stale)

    def size_bytes(self, request: KeyRead) -> int:
        return len(request[0])


class _BatchGet(Method[KeysRead, "list[GetAnswer | CacheError]"]):
    """The rpc BatchGet."""

    __slots__ = ()
    is_columns = True

    def message_of(self, request: KeysRead) -> pb.BatchGetRequest:
        keys, accept_stale = request
        message = pb.BatchGetRequest(accept_stale=accept_stale)
        for key in keys:
            message.keys.add().text = key
        return message

    def answer_of(self, message: pb.BatchGetResponse) -> list[GetAnswer | CacheError]:
        return [_got(result) for result in message.results]

    def size_bytes(self, request: KeysRead) -> int:
        return sum(map(len, request.keys))


class _Set(Method[ValueSet, SetResult]):
    """The rpc Set."""

    __slots__ = ()
    is_columns = True

    def message_of(self, request: ValueSet) -> pb.SetRequest:
        return request.message

    def answer_of(self, message: pb.SetResponse) -> SetResult:
        return _set_result(message)

    def size_bytes(self, request: ValueSet) -> int:
        return len(request.key) + len(request.value)


class _BatchSet(Method[ValuesSet, "list[SetResult | CacheError]"]):
    """The rpc BatchSet."""

    __slots__ = ()
    is_columns = True

    def message_of(self, request: ValuesSet) -> pb.BatchSetRequest:
        keys, values, options = request
        return pb.BatchSetRequest(
            items=[ValueSet(key, value, options).message for key, value in zip(keys, values, strict=True)]
        )

    def answer_of(self, message: pb.BatchSetResponse) -> list[SetResult | CacheError]:
        return [
            _set_result(result.set) if result.HasField("set") else error_of_item(result.error)
            for result in message.results
        ]

    def size_bytes(self, request: ValuesSet) -> int:
        return sum(map(len, request.keys)) + sum(map(len, request.values))


def _got(result: pb.BatchGetResult) -> GetAnswer | CacheError:
    if result.HasField("hit"):
        hit = result.hit
        return pb.GetResponse(hit=hit) if hit.negative else hit.value
    return pb.GetResponse(miss=result.miss) if result.HasField("miss") else error_of_item(result.error)


def _set_result(answer: pb.SetResponse) -> SetResult:
    outcome = SET_OUTCOMES.get(answer.outcome)
    if outcome is None:
        raise ServerDefect("the answer has no known outcome")
    return SetResult(outcome, answer.ttl_ms)


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


def _declared(message: type[Message], response: type[Message]) -> tuple[str, type[Message], type[Message], str, Effect]:
    """What the protos say of the rpc with these messages: the first fields of its `Method`."""
    name = message.DESCRIPTOR.full_name
    rpc = _RPCS[name]
    return rpc.name, message, response, _FIELDS.get(name, ""), _EFFECTS[rpc.GetOptions().idempotency_level]


def _own_key(request: pb.DeleteRequest | pb.TouchRequest, _: Message | None) -> Changed:
    return Changed((request.key.text,))


def _selected(request: pb.InvalidateRequest, response: pb.InvalidateResponse | None) -> Changed | None:
    """Which tags a selector stands for is said by the answer only."""
    if response is None:
        return None
    keys = [selector.key.text for selector in request.selectors if selector.HasField("key")]
    return Changed(keys, response.tags)


GET: Final = _Get(*_declared(pb.GetRequest, pb.GetResponse))
BATCH_GET: Final = _BatchGet(*_declared(pb.BatchGetRequest, pb.BatchGetResponse))
SET: Final = _Set(*_declared(pb.SetRequest, pb.SetResponse), changes=lambda request, _: Changed((request.key,)))
BATCH_SET: Final = _BatchSet(
    *_declared(pb.BatchSetRequest, pb.BatchSetResponse), changes=lambda request, _: Changed(request.keys)
)
LEASE: Final[Method[pb.LeaseRequest, pb.LeaseResponse]] = Method(
    *_declared(pb.LeaseRequest, pb.LeaseResponse),
    renews=lambda request: request.renew,
    keeps=lambda request: "" if request.renew else request.key.text,
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
