"""Which path is served by what."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import MethodOptions

from coherd.v1 import cache_service_pb2, session_pb2
from coherd_server.rpc.cache_service import CacheRpcs
from coherd_server.rpc.endpoint import Endpoint
from coherd_server.rpc.session import Sessions
from coherd_server.rpc.types import Handler


class Handlers(grpc.GenericRpcHandler):
    """Looks handlers up by path."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """The handler of a call; None: unknown to this server."""
        return self._handlers.get(handler_call_details.method)


def service_handlers(endpoint: Endpoint, rpcs: CacheRpcs) -> dict[str, Handler]:
    """One handler per rpc of `coherd.v1.CacheService`, from its descriptor: an rpc without a method fails at start."""
    service = cache_service_pb2.DESCRIPTOR.services_by_name["CacheService"]
    handlers: dict[str, Handler] = {}
    for method in service.methods:
        request_type = message_factory.GetMessageClass(method.input_type)
        reads_only = method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
        handler = endpoint.unary(request_type, getattr(rpcs, method.name), reads_only=reads_only)
        handlers[f"/{service.full_name}/{method.name}"] = handler
    return handlers


def session_handlers(sessions: Sessions) -> dict[str, Handler]:
    """`coherd.v1.SessionService`."""
    service = session_pb2.DESCRIPTOR.services_by_name["SessionService"]
    return {
        f"/{service.full_name}/{method.name}": grpc.stream_stream_rpc_method_handler(sessions.handle)
        for method in service.methods
    }
