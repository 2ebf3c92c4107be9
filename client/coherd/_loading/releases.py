"""Leases to release: what the service cannot be told now it is told as soon as it can be reached.

A lease that is not released keeps others waiting until it ends by itself. After that nothing more is told.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from contextvars import Context
from typing import Any, Final, NamedTuple, TypeAlias

from coherd._calls.batches import split_keys
from coherd._loading.policy import Terms
from coherd._rpc.methods import BATCH_FILL, FILL
from coherd._rpc.protocol import Transport
from coherd._rpc.status import error_of_item
from coherd.errors import CacheError, ClientClosed, InvalidRequest, NotPermitted, NotServed
from coherd.key import Key
from coherd.v1 import cache_service_pb2 as pb

log: Final = logging.getLogger("coherd.loading")

MAX_OWED: Final = 10_000
"""Most leases of one event loop that wait for the service to be reached; beyond it the oldest end by themselves."""
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 0.5
"""Pauses between attempts while the service cannot be reached."""
MAX_CALL_MS: Final = 1_000
"""Longest one attempt waits."""
CLOSE_TIMEOUT_S: Final = 2.0
"""Longest the end of a client waits until all is released."""

_IN_VAIN: Final = (InvalidRequest, NotPermitted, NotServed, ClientClosed)
"""Errors that would come again."""

Token: TypeAlias = "tuple[Key[Any], bytes]"


class _Owed(NamedTuple):
    request: pb.FillRequest
    until_s: float
    """When the lease is over, of `time.monotonic`."""
    timeout_ms: int


class Releases:
    """The leases that one event loop has to release. No error is raised here.

    Args:
        transport: carries the requests.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._owed: dict[bytes, _Owed] = {}
        """By token, the oldest first."""
        self._sending: asyncio.Task[None] | None = None

    def add(self, tokens: Iterable[Token], terms: Terms, pause_ms: int = 0) -> None:
        """Release leases soon, whether or not they were ever granted.

        Args:
            tokens: theirs, each with its key.
            terms: of the call that asked for them.
            pause_ms: how long nobody gets a lease of these keys.
        """
        self._add(_owed(tokens, terms, pause_ms))

    def _add(self, owed: dict[bytes, _Owed]) -> None:
        self._owed.update(owed)
        while len(self._owed) > MAX_OWED:
            del self._owed[next(iter(self._owed))]
        if self._owed and self._sending is None:
            # Without the context of the call, which is to end with it.
            self._sending = asyncio.get_running_loop().create_task(self._send_owed(), context=Context())

    async def settle(self, tokens: Iterable[Token], terms: Terms, pause_ms: int = 0) -> None:
        """As `add`, and waits until it was tried once. What fails, or is cancelled, is tried again later."""
        owed = _owed(tokens, terms, pause_ms)
        try:
            await self._send(owed)
        finally:
            self._add(owed)

    async def close(self) -> None:
        """Wait until all is released, but not for long."""
        if self._sending is not None:
            _, late = await asyncio.wait([self._sending], timeout=CLOSE_TIMEOUT_S)
            for task in late:
                task.cancel()
                await asyncio.wait([task])

    async def _send_owed(self) -> None:
        pause_s = FIRST_PAUSE_S
        try:
            while self._owed:
                told = await self._send(self._owed)
                now_s = time.monotonic()
                for token in [token for token, owed in self._owed.items() if owed.until_s <= now_s]:
                    del self._owed[token]
                pause_s = FIRST_PAUSE_S if told else min(2 * pause_s, LONGEST_PAUSE_S)
                if not told:
                    await asyncio.sleep(pause_s)
        finally:
            self._sending = None

    async def _send(self, owed: dict[bytes, _Owed]) -> bool:
        """Tell the service of all, and take those out that need not be told again; False if it cannot be reached."""
        for part in split_keys(list(owed.items())):
            timeout_ms = min(MAX_CALL_MS, *(each.timeout_ms for _, each in part))
            try:
                again = await self._tell([each.request for _, each in part], timeout_ms)
            except _IN_VAIN as error:
                log.debug("leases were not released: %s", type(error).__name__)
                again = set()
            except CacheError as error:
                log.debug("leases will be released later: %s", type(error).__name__)
                return False
            for token, _ in part:
                if token not in again:
                    owed.pop(token, None)
            if again:
                return False
        return True

    async def _tell(self, requests: Sequence[pb.FillRequest], timeout_ms: int) -> set[bytes]:
        """Tokens of those that are to be told again."""
        if len(requests) == 1:
            await self._transport.call(FILL, requests[0], timeout_ms, True)
            return set()
        answer = await self._transport.call(BATCH_FILL, pb.BatchFillRequest(items=requests), timeout_ms, True)
        return {
            request.token
            for request, result in zip(requests, answer.results, strict=False)
            if result.HasField("error") and not isinstance(error_of_item(result.error), _IN_VAIN)
        }


def _owed(tokens: Iterable[Token], terms: Terms, pause_ms: int) -> dict[bytes, _Owed]:
    until_s = time.monotonic() + terms.lease_ms / 1_000
    owed: dict[bytes, _Owed] = {}
    for key, token in tokens:
        request = pb.FillRequest(token=token, abandon=True, cooldown_ms=pause_ms)
        request.set.key.text = key
        owed[token] = _Owed(request, until_s, terms.timeout_ms)
    return owed
