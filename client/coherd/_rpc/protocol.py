"""What the verbs need of a connection; they know no gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, Protocol

from coherd._near import Kept
from coherd._rpc.connection_events import ConnectionEventKind
from coherd._rpc.methods import Method, Request, Response

MAX_CALL_ITEMS: Final = 1_000
"""Most items of one call; longer batches are split."""


class Transport(Protocol):
    """Carries requests to a server and answers back."""

    @property
    def service(self) -> object:
        """What it reaches: equal for transports of one target, so that loads of several clients are told apart."""
        ...

    @property
    def counts(self) -> Mapping[ConnectionEventKind, int]:
        """What happened between client and service, how often."""
        ...

    def lookup_near(self, key: str, loop: asyncio.AbstractEventLoop | None = None) -> Kept | None:
        """The value that a near cache holds under canonical key text: that of the running event loop, None while this
        is owed a turn; or that of the loop that is named, from any thread."""
        ...

    def peek_near(self, key: str, loop: asyncio.AbstractEventLoop | None = None) -> Kept | None:
        """As `lookup_near`, for a caller who asks for nothing but that."""
        ...

    def owes_turn(self) -> bool:
        """Whether near hits alone have kept the running event loop from its turns: no more are given until it has had
        one, in which it takes what is pushed [hits-give-turns]."""
        ...

    def items_at_once(self, items: int, *, reads: bool) -> int:
        """How many of so many keys are best read, or else stored, by one call."""
        ...

    async def call(
        self, method: Method[Request, Response], request: Request, timeout_ms: int, has_fallback: bool = False
    ) -> Response:
        """The answer of an rpc, whatever it is carried by.

        Args:
            method: the rpc, of `coherd._rpc.methods`.
            request: to it.
            timeout_ms: time limit, >= 1, which covers connecting and all repetitions. Cancelling one call disturbs no
                other.
            has_fallback: the caller can go on without the service, so it is told soon that it is away. Else the
                service is waited for until the limit.

        Raises:
            CacheError: it failed; nothing else is raised.
        """
        ...

    async def close(self) -> None:
        """Ends calls in flight with `ClientClosed`; later calls raise it too. Safe to repeat."""
        ...
