"""The calls of `coherence.traffic.caller` over sessions without near caches: one stream for each server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coherd._rpc.methods import GET, KeyRead
from coherd._rpc.session_stream import SessionStream
from coherd._rpc.session_transport import SessionTransport
from coherd.contract.reasons import reason_name
from coherd.errors import CacheError, DeadlineExceeded, OutcomeUnknown, Unavailable
from coherd.v1.errors_pb2 import ErrorReason
from coherence.history import Recorder
from coherence.traffic.caller import NOWHERE, Caller
from coherence.traffic.source import Source
from rig import rpcs


class SessionCaller(Caller):
    """Calls over sessions, which all callers of it share."""

    def __init__(self, targets: Sequence[str], recorder: Recorder, source: Source, *, timeout_s: float = 3.0) -> None:
        super().__init__(targets, recorder, source, timeout_s=timeout_s)
        self.transports = [SessionTransport(target, near_cache=None) for target in targets]

    async def call(self, server: int, rpc: str, request: Any, *, timeout_s: float | None = None) -> Any:
        timeout_ms = max(1, int((timeout_s or self._timeout_s) * 1_000))
        try:
            return await rpcs.call(self.transports[server], rpc, request, timeout_ms)
        except (OutcomeUnknown, DeadlineExceeded, Unavailable) as error:
            return f"lost:{type(error).__name__}"
        except CacheError as error:
            return f"error:{reason_name(error.reason)}"

    def connection(self, server: int) -> SessionStream | None:
        """The open stream: what is asked goes over it, if it is still there afterwards."""
        return self.transports[server]._links.current().stream

    async def is_told(self, server: int, connection: object) -> bool:
        """A stream keeps its order, so who is answered now was read behind what was given up."""
        stream = self.connection(server)
        if stream is None or stream is not connection:
            return False
        try:
            key = NOWHERE.key.text
            await stream.ask(GET, KeyRead(key), 1_000)
        except CacheError as error:
            return error.reason == ErrorReason.ERROR_REASON_DOMAIN_UNKNOWN
        return False

    async def close(self) -> None:
        for transport in self.transports:
            await transport.close()
        await super().close()

    def lose_session(self, server: int) -> bool:
        """As if its connection broke; whether there was one."""
        stream = self.connection(server)
        if stream is None:
            return False
        stream._call.cancel()
        return True
