"""gRPC's types as this server uses them: bytes in, bytes out."""

from __future__ import annotations

from typing import TypeAlias

import grpc
import grpc.aio

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"
CallDetails: TypeAlias = "grpc.HandlerCallDetails"
