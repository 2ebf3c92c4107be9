"""Server of `own_service`: a thread per call, one redis-py call per rpc. Prints its port; ends with SIGTERM."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc
import redis
from tests.benchmarks.contenders.own_service import GET, SET

from coherd.v1 import cache_service_pb2 as wire

THREADS: Final = 32


class Service:
    """Get and Set."""

    def __init__(self, redis_port: int) -> None:
        self._redis = redis.Redis(port=redis_port)

    def get(self, request: wire.GetRequest, context: grpc.ServicerContext) -> wire.GetResponse:
        raw = self._redis.get(request.key.text)
        if not isinstance(raw, bytes):
            return wire.GetResponse(miss=wire.Miss(reason=wire.MISS_REASON_ABSENT))
        return wire.GetResponse(hit=wire.Hit(value=raw))

    def set(self, request: wire.SetRequest, context: grpc.ServicerContext) -> wire.SetResponse:
        self._redis.set(request.key.text, request.value, px=request.ttl_ms)
        return wire.SetResponse(outcome=wire.SET_OUTCOME_STORED, ttl_ms=request.ttl_ms)


class Handlers(grpc.GenericRpcHandler):
    """The two paths."""

    def __init__(self, service: Service) -> None:
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            GET: grpc.unary_unary_rpc_method_handler(
                service.get,
                request_deserializer=wire.GetRequest.FromString,
                response_serializer=wire.GetResponse.SerializeToString,
            ),
            SET: grpc.unary_unary_rpc_method_handler(
                service.set,
                request_deserializer=wire.SetRequest.FromString,
                response_serializer=wire.SetResponse.SerializeToString,
            ),
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._handlers.get(handler_call_details.method)


def main() -> None:
    """Serve until ended."""
    server = grpc.server(ThreadPoolExecutor(THREADS))
    server.add_generic_rpc_handlers((Handlers(Service(int(sys.argv[1]))),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
