"""What the policy needs from the outside: a store of bytes with node identities, and nothing about Redis clients.

The Redis side implements these protocols; the core never imports it (docs/internals/architecture.md).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from coherd_server.core.entry import EPOCH_BYTES, IDENTITY_BYTES
from coherd_server.core.near.change_log import ChangeNotice

__all__ = [
    "EPOCH_BYTES",
    "IDENTITY_BYTES",
    "EpochRead",
    "Fill",
    "FillOutcome",
    "Grant",
    "GrantOutcome",
    "HoldOutcome",
    "LostParts",
    "NodeReport",
    "Outdated",
    "Put",
    "PutOutcome",
    "RemoveOutcome",
    "Store",
    "StoreUnavailable",
    "TouchOutcome",
    "ValueColumns",
    "ValueRead",
    "Wake",
    "WriteBasis",
]


class StoreUnavailable(Exception):
    """The store did not answer, or not in time.

    ``outcome_unknown`` is True when a write was sent and may still take effect (P6: the caller is told, never
    silently retried); False when nothing was sent or the command only read. ``full`` is True when a node refused a
    write because it is at maxmemory and evicts nothing. ``cause`` says why a node refused or cannot be reached, and
    what to do, where that is known, without its address; else it is empty. The message names no key.
    """

    def __init__(self, message: str, *, outcome_unknown: bool = False, full: bool = False, cause: str = "") -> None:
        super().__init__(message)
        self.outcome_unknown = outcome_unknown
        self.full = full
        self.cause = cause


class ValueRead(NamedTuple):
    """The bytes under one value key, and the node that said so."""

    raw: bytes | None
    """None when there is no value. A value of a non-string Redis type reads as ``b""`` (foreign)."""
    identity: bytes
    """`IDENTITY_BYTES` bytes: the identity [node-identity] of the connection that carried the reply."""
    redis_now_ms: int
    """That node's own clock, unix milliseconds, as best known when the reply arrived [no-wall-clock]."""


class ValueColumns(NamedTuple):
    """What was read under several keys, in their order: columns of one length, without an object for each."""

    raws: Sequence[bytes | None]
    """`ValueRead.raw` of each."""
    identities: Sequence[bytes]
    """`ValueRead.identity` of each."""
    redis_now_ms: Sequence[int]
    """`ValueRead.redis_now_ms` of each."""


class EpochRead(NamedTuple):
    """The current epoch of one tag, and the node that holds it."""

    epoch: bytes | None
    """`EPOCH_BYTES` random bytes, or None when the tag has no epoch (never invalidated, expired, evicted)."""
    identity: bytes


class WriteBasis(NamedTuple):
    """What a write begins with: the node that holds its key, and the key's fencing token."""

    identity: bytes
    """What the put must be stamped with."""
    redis_now_ms: int
    """That node's own clock, unix milliseconds."""
    fencing_token: bytes
    """The key's fencing token, which every write changes; the put must find it as it was [late-write-fence]."""


class PutOutcome(enum.Enum):
    STORED = "stored"
    PRESENT = "present"
    """`Put.replaces` was given and the key now holds something else."""
    OLDER_VERSION = "older_version"
    """The stored item version is higher than this put's."""
    FOREIGN = "foreign"
    """The key holds bytes that are not ours (no magic, or not a string): left untouched."""
    LATE = "late"
    """The command reached the node after its deadline in the node's own time and wrote nothing
    [node-time-deadline]."""
    FENCED = "fenced"
    """Another write of the key took effect since its fence was read: wrote nothing [late-write-fence]."""
    MOVED_IDENTITY = "moved_identity"
    """The node that would execute it is not the one the entry is stamped with: wrote nothing."""


class Outdated(NamedTuple):
    """Some remembered stamp of a write was no longer current: what was written, if anything, was dead from the
    beginning."""

    epochs: Mapping[str, EpochRead]
    """The current epochs of all tags of the write, read beside it."""


class RemoveOutcome(enum.Enum):
    REMOVED = "removed"
    ABSENT = "absent"
    FOREIGN = "foreign"


class TouchOutcome(enum.Enum):
    TOUCHED = "touched"
    CHANGED = "changed"
    """The value is no longer the one that was judged."""


class Put(NamedTuple):
    """One guarded write of an entry."""

    key: str
    """Canonical key text, without the deployment's prefix."""
    entry: bytes
    """Complete entry bytes (`coherd_server.core.entry`)."""
    lifetime_ms: int
    """Physical lifetime, > 0: ttl + stale."""
    identity: bytes
    """Identity of the key's node the entry is stamped with."""
    fencing_token: bytes
    """The key's fencing token, as `Store.ensure_epochs` gave it."""
    replaces: bytes | None = None
    """None: write whatever is there. ``b""``: only if the key is absent. Else: only if the stored bytes begin with
    exactly this header (an entry that was judged dead), or the key is absent (``only_if_absent``)."""
    remembered: Mapping[str, bytes] = {}
    """Tags and epochs out of `Store.remembered`, where it was stamped with these: the store says whether they are
    current. Many puts may share one mapping."""
    tags: Sequence[str] = ()
    """Which of these it was stamped with; empty: all of them."""


class GrantOutcome(enum.Enum):
    GRANTED = "granted"
    CHANGED = "changed"
    """Value or lease is no longer what was judged, or the node is another: validate again."""
    FOREIGN = "foreign"


class FillOutcome(enum.Enum):
    STORED = "stored"
    REJECTED = "rejected"
    """The lease is not the one that was read, or the node is another: wrote nothing."""
    OLDER_VERSION = "older_version"
    FOREIGN = "foreign"


class HoldOutcome(enum.Enum):
    HELD = "held"
    RELEASED = "released"
    LOST = "lost"
    """Somebody else's lease, or none."""


class Grant(NamedTuple):
    """One lease to grant, if value and lease are still what was judged [grant-compares]."""

    key: str
    judged_head: bytes | None
    """Header of the entry that was judged; None: there was none (or a tombstone)."""
    judged_lease: bytes
    """Lease bytes that were judged; empty: there was none."""
    lease: bytes
    """`coherd_server.core.lease_bytes` bytes."""
    lease_ms: int
    identity: bytes


class Fill(NamedTuple):
    """One entry to store under a lease."""

    key: str
    entry: bytes
    lifetime_ms: int
    lease: bytes
    """The lease bytes as read, or as granted; they must still be there."""
    identity: bytes
    remembered: Mapping[str, bytes] = {}
    """Tags with their epochs, as `Put.remembered` has them."""
    tags: Sequence[str] = ()
    """As `Put.tags`."""


Wake = Callable[[str, bool], None]
"""Called with a key (True) or tag (False) that changed while somebody waits; or ("", True): anything may have."""


class NodeReport(NamedTuple):
    """What start-up checks and `coherd doctor` look at, per primary. Values as the server reports them."""

    address: str
    role: str
    software: str
    """`redis` or `valkey`."""
    version: str
    maxmemory_bytes: int
    used_memory_bytes: int
    maxmemory_policy: str | None
    """None when its INFO names none."""
    run_id: str
    identity_stable: bool
    """False when two connections to one address answered with different run ids: a proxy hides which node answers."""


class LostParts(NamedTuple):
    """What of a store cannot be reached."""

    nodes: Mapping[str, str] = {}
    """Addresses of primaries, each with why it does not answer."""
    tags: frozenset[str] = frozenset()
    """Those whose epochs are on these."""


class Store(Protocol):
    """Bytes with identities. Every method raises `StoreUnavailable`; none raises for a bad value under a key.

    All key and tag names are without the deployment prefix. Calls issued in one turn of the event loop share round
    trips; a read joins only a batch that was not sent yet [join-before-sending]. Cancelling a caller never disturbs the
    batch.
    """

    async def read(self, keys: Sequence[str], tags: Sequence[str]) -> tuple[Sequence[ValueRead], Sequence[EpochRead]]:
        """Values of ``keys`` and current epochs of ``tags``, in order, in as few round trips as possible."""
        ...

    async def read_columns(self, keys: Sequence[str], tags: Sequence[str]) -> tuple[ValueColumns, Sequence[EpochRead]]:
        """As `read`, for many keys that are judged together."""
        ...

    @property
    def one_primary(self) -> bool:
        """All keys and tags are on one node at a time: it answers for all of them or for none."""
        ...

    async def ensure_epochs(
        self, keys: Sequence[str], tags: Mapping[str, int]
    ) -> tuple[Sequence[WriteBasis], Mapping[str, EpochRead]]:
        """The nodes that hold ``keys``, asked now, and the epochs of ``tags``, made where missing, each living at least
        the given milliseconds [epochs-outlive-entries]."""
        ...

    def remembered(self, tags: Mapping[str, int]) -> tuple[WriteBasis, Mapping[str, EpochRead]] | None:
        """What `ensure_epochs` would answer for any key, as far as this process knows without asking; None where it
        cannot know.

        Every part was the answer to something asked before. So a put that finds the fence as remembered is fenced by
        all that took effect since, and one whose stamps turn out to be current was stamped before it began.

        ``tags``: each with how long its epoch must live at least, in milliseconds; those not known have None.
        """
        ...

    async def read_leased(
        self, keys: Sequence[str], tags: Sequence[str]
    ) -> tuple[Sequence[ValueRead], Sequence[bytes | None], Sequence[EpochRead]]:
        """What `read` answers, with the lease bytes of each key."""
        ...

    async def grant(self, grants: Sequence[Grant]) -> Sequence[GrantOutcome | StoreUnavailable]:
        """Grant leases. A repetition with the same token is judged by the caller, which finds its own lease."""
        ...

    async def fill(
        self, fills: Sequence[Fill], notices: Collection[ChangeNotice] = ()
    ) -> Sequence[FillOutcome | Outdated | StoreUnavailable]:
        """Store entries, each under the lease that was read; the lease ends with it. Notices as in `put`."""
        ...

    async def hold(self, key: str, holder: bytes, lease_ms: int) -> HoldOutcome:
        """Let the holder's lease live ``lease_ms`` from now; 0 releases it.

        ``holder``: the lease's token, or token and grant.
        """
        ...

    async def await_changes(self, key: str, wait_ms: int) -> None:
        """From now on, for ``wait_ms``, a change of the key wakes every process that called `on_wake`."""
        ...

    def on_wake(self, wake: Wake) -> None:
        """Register who is told of changes."""
        ...

    async def put(
        self, puts: Sequence[Put], notices: Collection[ChangeNotice] = ()
    ) -> Sequence[PutOutcome | Outdated | StoreUnavailable]:
        """Write entries; per item, one failing item never fails the rest. Voids the key's lease in the same script.

        The store may append the notices behind the change, and says so in `ChangeNotice.appended`; else whoever
        made them appends them.
        """
        ...

    async def remove(
        self, keys: Mapping[str, int], notices: Collection[ChangeNotice] = ()
    ) -> Sequence[RemoveOutcome | StoreUnavailable]:
        """Delete values of ours and void their leases. A versioned entry leaves a short tombstone.

        ``keys``: each with the number of replicas that must have confirmed it. ``notices``: as in `put`.
        """
        ...

    async def touch(self, key: str, header: bytes, new_header: bytes, lifetime_ms: int) -> TouchOutcome:
        """Replace ``header`` by the equally long ``new_header`` and set the lifetime, if the entry still begins so."""
        ...

    async def unlink_dead(self, items: Sequence[tuple[str, bytes]]) -> None:
        """Unlink each key if its bytes still begin with the header that was judged dead [unlink-by-bytes]. Best
        effort."""
        ...

    async def invalidate(self, tags: Mapping[str, int], notices: Collection[ChangeNotice] = ()) -> None:
        """Give every tag a fresh epoch; returns only after all hold [hold-then-acknowledge]. Safe to repeat.

        ``tags``: each with the number of replicas that must have confirmed it. ``notices``: as in `put`.
        """
        ...

    def primaries(self) -> Sequence[str]:
        """Names of all primaries, for `scan`."""
        ...

    async def scan(self, primary: str, cursor: int, count: int) -> tuple[int, Sequence[str]]:
        """A page of about ``count`` keys of entries on one primary, and the next cursor; 0 begins and ends.

        A primary that is no longer known ends its scan.
        """
        ...

    async def claim(self, task: str, token: bytes, lease_ms: int) -> bool:
        """Take or extend the right of one server process to do a background task; whether the token has it."""
        ...

    async def note(self, name: str, text: bytes, lifetime_ms: int) -> None:
        """Keep a note of a background task."""
        ...

    async def recall(self, name: str) -> bytes | None:
        """The note, if there is one."""
        ...

    async def count(self, increments: Mapping[str, Mapping[str, int]]) -> Mapping[str, Mapping[str, int]]:
        """Add to the persistent counters: ``{domain: {counter: n}}``; those that were surely not added."""
        ...

    async def counters(self, domains: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        """The persistent counters, whole over all server processes; without those on a primary that does not answer
        while another one does."""
        ...

    def trouble(self) -> str:
        """Why nothing can be served just now, one line without secrets; empty while any primary answers, which it does
        if it has answered within the last second and a half."""
        ...

    def lost(self, tags: Sequence[str]) -> LostParts:
        """The primaries that do not answer just now, and which of the tags have their epochs there: what carries one of
        them cannot be read or written."""
        ...

    async def ping(self) -> None:
        """Return when every primary has answered lately, or some have and the rest does not in time."""
        ...

    async def inspect(self) -> Sequence[NodeReport]:
        """One report per primary that answers."""
        ...

    async def close(self) -> None:
        """Close connections; idempotent."""
        ...
