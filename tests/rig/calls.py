"""Raw gRPC calls for tests of the wire: messages or plain bytes in, messages or a refusal taken apart out."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Any, NamedTuple

import grpc
from google.protobuf import message_factory
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2

from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import keys_pb2
from coherd.v1.errors_pb2 import ErrorReason

SERVICE = pb.DESCRIPTOR.services_by_name["CacheService"]
RPCS: dict[str, tuple[type[Message], type[Message]]] = {
    method.name: (
        message_factory.GetMessageClass(method.input_type),
        message_factory.GetMessageClass(method.output_type),
    )
    for method in SERVICE.methods
}
"""Request and response type of every rpc of the service."""


class Problem(NamedTuple):
    """A status with its details taken apart."""

    code: str
    message: str
    reason: str = ""
    domain: str = ""
    fields: tuple[str, ...] = ()
    """Of BadRequest."""
    retry_ms: int | None = None
    everything: bytes = b""
    """All a caller is sent: text, trailing metadata, debug text."""


def problem_in(error: grpc.RpcError) -> Problem:
    """What a failed call says."""
    call: Any = error
    reason = domain = ""
    fields: list[str] = []
    retry_ms: int | None = None
    everything = [str(call.details()).encode(), repr(error).encode()]
    for key, value in call.trailing_metadata() or ():
        raw = value if isinstance(value, bytes) else value.encode()
        everything += key.encode(), raw
        if key != "grpc-status-details-bin":
            continue
        status = status_pb2.Status.FromString(raw)
        assert status.code == call.code().value[0], "the details state another code"
        assert status.message == call.details(), "the details state another text"
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        for detail in status.details:
            if detail.Unpack(info):
                reason, domain = info.reason, info.domain
            elif detail.Unpack(bad):
                fields += [violation.field for violation in bad.field_violations]
            elif detail.Unpack(retry):
                retry_ms = retry.retry_delay.ToMilliseconds()
    return Problem(call.code().name, call.details(), reason, domain, tuple(fields), retry_ms, b"\n".join(everything))


def problem_of(held: grpc.Future, *, within_s: float = 60.0) -> Problem:
    """The problem of a held call that must fail."""
    error = held.exception(within_s)
    assert isinstance(error, grpc.RpcError), f"it must fail, not {error!r}"
    return problem_in(error)


class Caller:
    """A blocking caller of one server; a context manager."""

    def __init__(
        self,
        target: str,
        *,
        token: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        compression: grpc.Compression | None = None,
    ) -> None:
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),  # a connection of its own: tests stop and restart servers
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 300),
        ]
        if credentials is None:
            self.channel = grpc.insecure_channel(target, options, compression)
        else:
            self.channel = grpc.secure_channel(target, credentials, options, compression)
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()

    def call(
        self, rpc: str, request: Message | bytes, response: type[Message] | None = None, *, timeout_s: float = 60.0
    ) -> Any:
        """Call an rpc of the service by its name, or any method by its path; without a type the answer is bytes.

        Raises:
            grpc.RpcError: the call failed.
        """
        path = rpc if rpc.startswith("/") else f"/{SERVICE.full_name}/{rpc}"
        data = request if isinstance(request, bytes) else request.SerializeToString()
        raw = self.channel.unary_unary(path)(data, timeout=timeout_s, metadata=self._metadata)
        kind = response or (RPCS[rpc][1] if rpc in RPCS else None)
        return raw if kind is None else kind.FromString(raw)

    def hold(self, rpc: str, request: Message, *, timeout_s: float = 120.0) -> grpc.Future:
        """Start a call that the server will take a while to answer; returns once the server has it in hand."""
        held = self.channel.unary_unary(f"/{SERVICE.full_name}/{rpc}", response_deserializer=RPCS[rpc][1].FromString)
        future = held.future(request.SerializeToString(), timeout=timeout_s, metadata=self._metadata)
        with contextlib.suppress(grpc.RpcError):  # overloaded: also an answer
            self.call("DescribeCatalog", b"")  # calls of one connection are taken in order, and this one needs no store
        return future

    def refused(self, rpc: str, request: Message | bytes, *, timeout_s: float = 60.0) -> Problem:
        """The problem of a call that must fail."""
        try:
            answer = self.call(rpc, request, timeout_s=timeout_s)
        except grpc.RpcError as error:
            return problem_in(error)
        raise AssertionError(f"{rpc} must fail, it answered {answer!r}")

    def get(self, key: str, **fields: Any) -> Any:
        """Get by canonical text."""
        return self.call("Get", pb.GetRequest(key=text_key(key), **fields))

    def value(self, key: str) -> bytes | None:
        """The value of a hit; None for a miss."""
        answer = self.get(key)
        return bytes(answer.hit.value) if answer.HasField("hit") else None

    def miss(self, key: str) -> str:
        """Name of the reason of a miss."""
        answer = self.get(key)
        assert answer.HasField("miss"), "a miss is expected"
        return pb.MissReason.Name(answer.miss.reason).removeprefix("MISS_REASON_")

    def set(self, key: str, value: bytes = b"v", **fields: Any) -> str:
        """Set by canonical text; name of the outcome."""
        answer = self.call("Set", pb.SetRequest(key=text_key(key), value=value, **fields))
        return pb.SetOutcome.Name(answer.outcome).removeprefix("SET_OUTCOME_")

    def delete(self, key: str) -> bool:
        """Delete by canonical text; whether it existed."""
        return bool(self.call("Delete", pb.DeleteRequest(key=text_key(key))).existed)

    def invalidate(self, *selectors: keys_pb2.Selector) -> Any:
        """Invalidate; the answer."""
        return self.call("Invalidate", pb.InvalidateRequest(selectors=selectors))

    def health(self, service: str = "") -> str:
        """Answer of a health check, by name."""
        request = health_pb2.HealthCheckRequest(service=service)
        answer = self.call("/grpc.health.v1.Health/Check", request, health_pb2.HealthCheckResponse)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

    def close(self) -> None:
        """Close the connection."""
        self.channel.close()

    def __enter__(self) -> Caller:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def text_key(text: str) -> keys_pb2.Key:
    """A key by canonical text."""
    return keys_pb2.Key(text=text)


def parts_key(domain: str, resource: str, *identifiers: tuple[str, str], suffix: str = "") -> keys_pb2.Key:
    """A key by its parts."""
    pairs = [keys_pb2.KeyIdentifier(name=name, value=value) for name, value in identifiers]
    parts = keys_pb2.StructuredKey(domain=domain, resource=resource, identifiers=pairs, suffix=suffix)
    return keys_pb2.Key(parts=parts)


def reason_in(item: Any) -> str:
    """Name of the reason of a batch item that failed."""
    assert item.HasField("error"), f"an error is expected, not {item}"
    return ErrorReason.Name(item.error.reason).removeprefix("ERROR_REASON_")
