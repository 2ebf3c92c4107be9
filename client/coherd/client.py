"""The asynchronous client: a fixed set of verbs on typed keys."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Literal, Self

from coherd._loading.per_loop import Desks
from coherd._loading.policy import LoadLimits, LoadPolicy
from coherd._rpc.protocol import Transport
from coherd._rpc.session_transport import NearCacheBounds, SessionTransport
from coherd._rpc.tls import TlsConfig
from coherd._rpc.unary import UnaryTransport
from coherd.verbs.base import checked_timeout
from coherd.verbs.changing import Changing
from coherd.verbs.loading import Loading
from coherd.verbs.looking import Looking
from coherd.verbs.reading import Reading
from coherd.verbs.writing import Writing

DEFAULT_TIMEOUT_MS: Final = 2_000


class CacheClient(Reading, Loading, Writing, Changing, Looking):
    """Gets, sets, loads and invalidates entries of a Coherd service.

    One client serves any number of tasks and event loops, and works in processes forked later; make one per program.

    Every verb takes ``timeout_ms``, the time limit of the whole call (>= 1, default: the client's), which covers
    connecting and repetitions. What may be repeated is repeated within it: nothing that might take effect twice. For
    the verbs that load it is the limit of each exchange with the service; loads have their own (`LoadPolicy`).

    Every verb raises `coherd.errors.CacheError`; the tree is documented there. With ``on_unavailable="miss"``:

    - `get`, `get_entry` and `get_many` treat a service that is unavailable or late as a miss,
    - `set`, `set_many`, `set_nothing` and `touch` drop what is not known to be stored, and answer false,
    - `delete` and `invalidate` raise all the same: what was not invalidated would be served later.

    What `get_or_load`, `get_or_load_many` and `cached` do is said by `LoadPolicy.on_unavailable`.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        on_unavailable: Literal["raise", "miss"] = "raise",
        loading: LoadPolicy | None = None,
        load_limits: LoadLimits | None = None,
    ) -> None:
        """
        Args:
            transport: carries the requests; closed with the client.
            timeout_ms: time limit of calls that give none, >= 1.
            on_unavailable: what reads and sets do while the service is away.
            loading: how values are loaded. Default: ``LoadPolicy()``.
            load_limits: how many loads run at once. Default: ``LoadLimits()``.

        Raises:
            ValueError: an argument is out of its range.
        """
        if on_unavailable not in ("raise", "miss"):
            raise ValueError('on_unavailable is "raise" or "miss"')
        self._transport = transport
        self._timeout_ms = checked_timeout(timeout_ms)
        self._lenient = on_unavailable == "miss"
        self._load_policy = LoadPolicy() if loading is None else loading
        self._desks = Desks(transport, LoadLimits() if load_limits is None else load_limits)

    @classmethod
    def connect(
        cls,
        target: str,
        *,
        near_cache: bool | None = None,
        near_cache_bounds: NearCacheBounds | None = None,
        sessions: bool = True,
        tls: TlsConfig | None = None,
        token: str | None = None,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        on_unavailable: Literal["raise", "miss"] = "raise",
        loading: LoadPolicy | None = None,
        load_limits: LoadLimits | None = None,
    ) -> Self:
        """A client of the service at a target. Does no I/O: it connects with its first call.

        Args:
            target: ``host:port``, or any gRPC target.
            near_cache: keep values in this process: None or True: those of the domains for which the catalog, or the
                operator, says so; False: none.
            near_cache_bounds: how much is kept, per event loop. Default: ``NearCacheBounds()``.
            sessions: False: every call is a unary rpc, as in other languages; then nothing is kept near.
            tls: None: plain text.
            token: bearer token, printable ASCII; without ``tls`` it crosses the network readable.
            timeout_ms: time limit of calls that give none, >= 1.
            on_unavailable: what reads and sets do while the service is away.
            loading: how values are loaded. Default: ``LoadPolicy()``.
            load_limits: how many loads run at once. Default: ``LoadLimits()``.

        Raises:
            ValueError: an argument is out of its range.
        """
        transport: Transport
        if sessions:
            bounds = None if near_cache is False else (near_cache_bounds or NearCacheBounds())
            transport = SessionTransport(target, tls=tls, token=token, near_cache=bounds)
        else:
            transport = UnaryTransport(target, tls=tls, token=token)
        return cls(
            transport,
            timeout_ms=timeout_ms,
            on_unavailable=on_unavailable,
            loading=loading,
            load_limits=load_limits,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Cancels loads and gives their leases back, then ends calls in flight; their callers and later ones get
        `ClientClosed`. Safe to repeat."""
        await self._desks.close()
        await self._transport.close()
