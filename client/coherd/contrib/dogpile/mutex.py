"""dogpile's creation lock as a Coherd lease: held by one process of all, woken and not polled, gone with its holder."""

from __future__ import annotations

import asyncio
import secrets
import threading
from typing import Final

from dogpile.cache.api import CacheMutex

from coherd._rpc.methods import FILL, LEASE
from coherd._rpc.protocol import Transport
from coherd.contract.limits import MIN_LEASE_MS, TOKEN_BYTES
from coherd.contrib.dogpile.keys import BytesKey
from coherd.errors import CacheError, DeadlineExceeded, OutcomeUnknown, Unavailable
from coherd.sync.loop_thread import LOOP
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import keys_pb2

WAIT_MS: Final = 1_000
"""How long one call is held by the server; a longer wait is several calls."""
RENEWALS: Final = 3
"""How often a lease is renewed within its lifetime."""


class CoherdMutex(CacheMutex):
    """The lock of one key, over all processes. Not reentrant; may be released by another thread.

    While it is held its lease is renewed in the background, so a load may take as long as it likes; when its process
    dies, the lease ends within ``lease_ms``. It is lost if the service cannot be reached for that long, or if the
    region's resource or domain is invalidated: what is being created then is out of date, and somebody else may begin.

    Args:
        transport: to the service.
        key: under which the lease is kept.
        lease_ms: how long a lease lives unless renewed.
        timeout_ms: time limit of a call.
        lenient: go on without the lock while the service is away.
    """

    def __init__(self, transport: Transport, key: BytesKey, *, lease_ms: int, timeout_ms: int, lenient: bool) -> None:
        self._transport = transport
        self._key = keys_pb2.Key(text=key)
        self._lease_ms = lease_ms
        self._timeout_ms = timeout_ms
        self._lenient = lenient
        self._gate = threading.Lock()
        """Lets one thread of this process in; the others do not load the service."""
        self._token: bytes | None = None
        self._renewing: asyncio.Task[None] | None = None

    def acquire(self, wait: bool = True) -> bool:
        """Take the lock; without ``wait`` only if it is free.

        Raises:
            CacheError: the service cannot be asked, unless the region goes on without it.
        """
        if not self._gate.acquire(blocking=wait):
            return False
        taken = False
        try:
            taken = LOOP.run(self._take(wait))
        finally:
            if not taken:
                self._gate.release()
        return taken

    def release(self) -> None:
        """Release the lock. Never raises for the service: a lease that is not released ends by itself."""
        try:
            LOOP.run(self._release())
        finally:
            self._gate.release()

    def locked(self) -> bool:
        """Whether somebody holds the lock, of any process.

        To find out, a free lock is taken for a moment, in which others find it held.
        """
        if not self._gate.acquire(blocking=False):
            return True
        try:
            return not LOOP.run(self._try_out())
        finally:
            self._gate.release()

    async def _take(self, wait: bool) -> bool:
        token = secrets.token_bytes(TOKEN_BYTES)
        wait_ms = WAIT_MS if wait else 0
        try:
            while not (answer := await self._lease(token, self._lease_ms, wait_ms=wait_ms)).HasField("granted"):
                if not wait:
                    return False
        except (Unavailable, DeadlineExceeded, OutcomeUnknown):
            if not self._lenient:
                raise
            return True
        self._token = token
        self._renewing = asyncio.get_running_loop().create_task(self._renew(token, answer.granted.grant))
        return True

    async def _renew(self, token: bytes, grant: bytes) -> None:
        while True:
            await asyncio.sleep(self._lease_ms / RENEWALS / 1_000)
            try:
                answer = await self._lease(token, self._lease_ms, renews=grant)
            except CacheError:
                continue  # until it is released; whether it still lives, the next renewal tells
            if not answer.HasField("granted"):
                return

    async def _release(self) -> None:
        token, renewing = self._token, self._renewing
        self._token = self._renewing = None
        if renewing is not None:
            renewing.cancel()
        if token is not None:
            await self._release_token(token)

    async def _try_out(self) -> bool:
        """Whether the lock is free; while the service is away a lenient region's is."""
        token = secrets.token_bytes(TOKEN_BYTES)
        try:
            answer = await self._lease(token, MIN_LEASE_MS)
        except (Unavailable, DeadlineExceeded, OutcomeUnknown):
            if not self._lenient:
                raise
            return True
        if not answer.HasField("granted"):
            return False
        await self._release_token(token)
        return True

    async def _lease(
        self, token: bytes, lease_ms: int, *, wait_ms: int = 0, renews: bytes | None = None
    ) -> pb.LeaseResponse:
        request = pb.LeaseRequest(key=self._key, token=token, lease_ms=lease_ms, wait_ms=wait_ms)
        if renews is not None:
            request.renew, request.grant = True, renews
        return await self._transport.call(LEASE, request, self._timeout_ms + wait_ms, self._lenient)

    async def _release_token(self, token: bytes) -> None:
        request = pb.FillRequest(set=pb.SetRequest(key=self._key), token=token, abandon=True)
        try:
            await self._transport.call(FILL, request, self._timeout_ms, True)
        except CacheError:
            return
