# Generated from coherd/client.py by `make gen`. Do not edit.
"""The blocking client: a fixed set of verbs on typed keys."""

from __future__ import annotations

from types import TracebackType
from typing import Literal, Self

from coherd._loading.policy import LoadLimits, LoadPolicy
from coherd._rpc.protocol import Transport
from coherd._rpc.session_transport import NearCacheBounds
from coherd._rpc.tls import TlsConfig
from coherd.client import DEFAULT_TIMEOUT_MS
from coherd.client import CacheClient as AsyncClient
from coherd.sync.verbs.changing import Changing
from coherd.sync.verbs.loading import Loading
from coherd.sync.verbs.looking import Looking
from coherd.sync.verbs.reading import Reading
from coherd.sync.verbs.writing import Writing


class CacheClient(Reading, Loading, Writing, Changing, Looking):
    """Gets, sets, loads and invalidates entries of a Coherd service.

    One client serves any number of threads, also such as run an event loop, and works in processes forked later;
    make one per program. Its work is done in one event loop, in a daemon thread of the process.

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
        super().__init__(
            AsyncClient(
                transport,
                timeout_ms=timeout_ms,
                on_unavailable=on_unavailable,
                loading=loading,
                load_limits=load_limits,
            )
        )

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
        return cls._over(
            AsyncClient.connect(
                target,
                near_cache=near_cache,
                near_cache_bounds=near_cache_bounds,
                sessions=sessions,
                tls=tls,
                token=token,
                timeout_ms=timeout_ms,
                on_unavailable=on_unavailable,
                loading=loading,
                load_limits=load_limits,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cancels loads and gives their leases back, then ends calls in flight; their callers and later ones get
        `ClientClosed`. Safe to repeat."""
        self._close()
