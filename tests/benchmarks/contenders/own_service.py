"""The obvious service a team writes itself: `own_service_server` in a process of its own, called over `grpc.aio`.

It speaks Coherd's messages, so that the two differ in what is behind them and not in what is sent.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import grpc.aio
import orjson
from tests.benchmarks.contenders import PATIENCE_S, expect
from tests.benchmarks.data import TTL_MS, daily, document

from coherd.v1 import cache_service_pb2 as wire
from coherd.v1 import keys_pb2

GET: Final = "/own.Cache/Get"
SET: Final = "/own.Cache/Set"
_ROOT: Final = Path(__file__).parents[3]


class OwnService:
    """A context manager: the server's process ends with it."""

    name = "own service"
    """A sync `grpc` server that makes one redis-py call per rpc."""

    def __init__(self, redis_port: int, keys: int) -> None:
        self._redis_port = redis_port
        self._keys = [f"own:{daily(index)}" for index in range(keys)]
        self._absent = [f"own:{daily(keys + index)}" for index in range(keys)]
        self._value = document()

    def __enter__(self) -> OwnService:
        command = (sys.executable, "-m", "tests.benchmarks.contenders.own_service_server", str(self._redis_port))
        self._server = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.terminate()
        self._server.communicate(timeout=PATIENCE_S)

    @property
    def pid(self) -> int:
        """Of the server."""
        return self._server.pid

    async def prepare(self) -> None:
        stdout = self._server.stdout
        expect(stdout is not None)
        port = int(stdout.readline() if stdout is not None else b"0")
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self._get: Any = self._channel.unary_unary(
            GET,
            request_serializer=wire.GetRequest.SerializeToString,
            response_deserializer=wire.GetResponse.FromString,
        )
        self._set: Any = self._channel.unary_unary(
            SET,
            request_serializer=wire.SetRequest.SerializeToString,
            response_deserializer=wire.SetResponse.FromString,
        )
        for index in range(len(self._keys)):
            await self.set(index)

    async def get(self, turn: int) -> None:
        answer = await self._ask(self._keys[turn % len(self._keys)])
        expect(orjson.loads(answer.hit.value) is not None)

    async def miss(self, turn: int) -> None:
        expect(not (await self._ask(self._absent[turn % len(self._absent)])).HasField("hit"))

    async def set(self, turn: int) -> None:
        key = keys_pb2.Key(text=self._keys[turn % len(self._keys)])
        request = wire.SetRequest(key=key, value=orjson.dumps(self._value), ttl_ms=TTL_MS)
        expect((await self._set(request, timeout=PATIENCE_S)).outcome == wire.SET_OUTCOME_STORED)

    async def close(self) -> None:
        await self._channel.close()

    async def _ask(self, key: str) -> wire.GetResponse:
        answer: wire.GetResponse = await self._get(wire.GetRequest(key=keys_pb2.Key(text=key)), timeout=PATIENCE_S)
        return answer
