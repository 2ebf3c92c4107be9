"""A bare unary call of `grpc.aio` to Coherd's server: bytes made beforehand, the answer's bytes left alone."""

from __future__ import annotations

from typing import Any, Final

import grpc.aio
from tests.benchmarks.contenders import PATIENCE_S, expect
from tests.benchmarks.data import daily

from coherd.v1 import cache_service_pb2 as wire
from coherd.v1 import keys_pb2

GET: Final = "/coherd.v1.CacheService/Get"


class BareCall:
    """Reads what `CoherdClient` has stored; what gRPC itself takes, with the server's part."""

    name = "unary grpc.aio call"

    def __init__(self, target: str, keys: int) -> None:
        self._target = target
        self._requests = [
            wire.GetRequest(key=keys_pb2.Key(text=str(daily(index)))).SerializeToString() for index in range(keys)
        ]

    async def prepare(self) -> None:
        self._channel = grpc.aio.insecure_channel(self._target)
        self._get: Any = self._channel.unary_unary(GET)
        answer = wire.GetResponse.FromString(await self._get(self._requests[0], timeout=PATIENCE_S))
        expect(answer.HasField("hit"))

    async def get(self, turn: int) -> None:
        raw = await self._get(self._requests[turn % len(self._requests)], timeout=PATIENCE_S)
        expect(len(raw) > 0)

    async def close(self) -> None:
        await self._channel.close()
