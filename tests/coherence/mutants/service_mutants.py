"""Deliberately broken servers. A check that cannot fail is no check: every mutant must be caught within 60 s.

Each is a rule of docs/internals/rules.md left out, made by replacing parts of the server from outside: no switch for it
is in production code. ``patch`` is `setattr`, or pytest's ``monkeypatch.setattr`` where it must be undone.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final

import coherd_server.app  # noqa: F401 - all modules are there before one is patched
from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.requests import FillItem, SetItem
from coherd.contract import tags as tag_rules
from coherd.contract.limits import TOKEN_BYTES
from coherd_server.core import filling, validity
from coherd_server.core.entry import EntryFormatError, Header
from coherd_server.core.filling import Filler
from coherd_server.core.get import Reader
from coherd_server.core.granted_leases import GrantedLeases
from coherd_server.core.invalidate import Changer
from coherd_server.core.lease_bytes import Lease, decode_lease
from coherd_server.core.set import Writer
from coherd_server.core.set_attempt import SetProgress
from coherd_server.core.set_plan import SetDone
from coherd_server.core.store import EpochRead, Grant, PutOutcome, Store, ValueRead
from coherd_server.redis import connection, scripts
from coherd_server.redis.recent_writes import RecentWrites
from coherd_server.redis.store import RedisStore

Patch = Callable[[Any, str, Any], None]
Mutant = Callable[[Patch], None]
_filling: Final[ContextVar[bytes]] = ContextVar("token and grant of the fill under way", default=b"")


def _everywhere(patch: Patch, name: str, old: object, new: object) -> None:
    """Replace what the server's modules imported under a name."""
    for module in [one for title, one in sys.modules.items() if title.startswith("coherd_server")]:
        if getattr(module, name, None) is old:
            patch(module, name, new)


def _rewrite(patch: Patch, name: str, old: str, new: str) -> None:
    """Replace text of a Lua script; ``redis.call`` there stands for ``redis.pcall``, too."""
    script: scripts.Script = getattr(scripts, name)
    pattern = re.escape(old).replace(r"redis\.call", r"redis\.p?call")
    source, times = re.subn(pattern, lambda _: new, script.source)
    if not times:
        raise AssertionError(f"{name} has no {old!r} any more: the mutant must be written anew")
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    broken = script._replace(source=source, sha=sha)
    _everywhere(patch, name, script, broken)
    patch(connection, "ALL", tuple(broken if one.name == script.name else one for one in connection.ALL))


def _look_first(patch: Patch) -> None:
    """Fills look for what is stored of their lease: the mutant is in how they take it."""
    patch(GrantedLeases, "take", lambda *_: None)


def _mark_fills(patch: Patch) -> None:
    _look_first(patch)
    whole = Filler.fill

    async def fill(self: Filler, one: FillItem) -> Any:
        _filling.set(one.token + one.grant)
        return await whole(self, one)

    patch(Filler, "fill", fill)


def fill_without_lease_check(patch: Patch) -> None:
    """[fill-names-its-grant] A fill is stored though its lease is gone; the stamps are those of the grant."""
    _mark_fills(patch)
    granted: dict[tuple[str, bytes], Lease] = {}
    grant, current = RedisStore.grant, filling.current_lease

    async def remembering(self: RedisStore, grants: Sequence[Grant]) -> Any:
        for one in grants:
            lease = decode_lease(one.lease)
            granted[one.key, lease.token + lease.grant] = lease
        return await grant(self, grants)

    async def always(store: Store, key: ResolvedKey, *rest: Any) -> Lease | None:
        return granted.get((key.text, _filling.get())) or await current(store, key, *rest)

    patch(RedisStore, "grant", remembering)
    patch(filling, "current_lease", always)
    for name in ("FILL", "FILL_APART"):
        _rewrite(patch, name, "ended[lease] or redis.call('GET', lease) ~= held", "false")


def fill_of_any_grant(patch: Patch) -> None:
    """[fill-names-its-grant] A fill presents its token only: a copy of the lease's request may have it granted anew."""
    _mark_fills(patch)
    current = filling.current_lease

    async def whatever(store: Store, key: ResolvedKey, *rest: Any) -> Lease | None:
        lease = await current(store, key, *rest)
        return None if lease is None else lease._replace(grant=_filling.get()[TOKEN_BYTES:])

    patch(filling, "current_lease", whatever)


def epochs_read_after_the_load(patch: Patch) -> None:
    """[grant-time-stamps] A fill carries the epochs of the fill, not of the grant."""
    _look_first(patch)
    current = filling.current_lease

    async def restamped(
        store: Store, key: ResolvedKey, raw: bytes, identity: bytes, epochs: Any, needs_ms: int
    ) -> Lease | None:
        if not raw:
            return None
        await current(store, key, raw, identity, epochs, needs_ms)  # reads the epochs of extra tags
        lease = decode_lease(raw)
        block = validity.expected_block(key, validity.extra_refs_of(key, lease.block), identity, epochs)
        return None if block is None else lease._replace(block=block)

    patch(filling, "current_lease", restamped)


def _with_stored_epochs(
    key: ResolvedKey, header: Header, extra: Sequence[tag_rules.TagRef], epochs: Mapping[str, EpochRead], only: bool
) -> dict[str, EpochRead]:
    stamped = {stamp.ref: EpochRead(stamp.epoch, stamp.identity) for stamp in header.stamps}
    known = dict(epochs)
    for ref, tag in (*key.tags, *extra):
        if ref in stamped and (not only or known[tag].epoch is None):
            known[tag] = stamped[ref]
    return known


def _validating_with(patch: Patch, *, only_missing: bool) -> None:
    validate = validity.validate

    def lenient(key: ResolvedKey, read: ValueRead, header: Header, extra: Any, epochs: Any) -> validity.Validity:
        with contextlib.suppress(EntryFormatError):
            epochs = _with_stored_epochs(key, header, extra, epochs, only_missing)
        return validate(key, read, header, extra, epochs)

    _everywhere(patch, "validate", validate, lenient)


def missing_epoch_accepted(patch: Patch) -> None:
    """[missing-is-a-miss] An entry whose epoch is missing is served."""
    _validating_with(patch, only_missing=True)


def epochs_not_compared(patch: Patch) -> None:
    """[current-stamps] An entry is served whatever its epochs."""
    _validating_with(patch, only_missing=False)


def no_node_identity(patch: Patch) -> None:
    """[node-identity] Stamps name no node."""
    expected = validity.expected_block

    def anywhere(key: ResolvedKey, extra: Any, identity: bytes, epochs: Mapping[str, EpochRead]) -> bytes | None:
        nowhere = validity.ANY_IDENTITY
        return expected(key, extra, nowhere, {tag: EpochRead(read.epoch, nowhere) for tag, read in epochs.items()})

    _everywhere(patch, "expected_block", expected, anywhere)


def delete_keeps_lease(patch: Patch) -> None:
    """[writes-void-leases] Delete does not void the lease."""
    for name in ("REMOVE", "REMOVE_APART"):
        _rewrite(patch, name, "void_leases()\nfor i", "for i")


def set_keeps_lease(patch: Patch) -> None:
    """[writes-void-leases] Set does not void the lease."""
    for name in ("PUT", "PUT_APART"):
        _rewrite(patch, name, "void_leases()\nwake_all()", "wake_all()")


def reply_to_the_wrong_caller(patch: Patch) -> None:
    """[no-crossing] Now and then a caller gets the reply to another one."""
    get = Reader.get
    last: list[Any] = []
    reads = itertools.count(1)

    async def confused(self: Reader, keys: Sequence[ResolvedKey], **options: Any) -> Any:
        found = await get(self, keys, **options)
        if last and next(reads) % 20 == 0:
            found[0] = last[0]
        last[:] = found[-1:]
        return found

    patch(Reader, "get", confused)


def no_fence(patch: Patch) -> None:
    """[late-write-fence] A late write is stored whatever took effect meanwhile."""
    for name in ("PUT", "PUT_APART"):
        _rewrite(patch, name, "not holds(i, token)", "false")


def fence_from_after_giving_up(patch: Patch) -> None:
    """[given-up-is-not-written] A set that asked for its fence is written, also where its caller has given up."""
    whole = SetProgress.__init__

    def unasked(self: SetProgress, wanted: Callable[[int], bool]) -> None:
        whole(self, lambda _: True)

    patch(SetProgress, "__init__", unasked)


def counters_as_epochs(patch: Patch) -> None:
    """[unique-epochs] Epochs are counters, which begin anew when they are lost."""
    is_epoch = "string.find(KEYS[i], 'coherd:epoch:', 1, true)"
    _rewrite(
        patch,
        "ENSURE_EPOCH",
        "local fresh, need_ms = ARGV[2 * i]",
        f"local fresh, need_ms = {is_epoch} and '00000001' or ARGV[2 * i]",
    )
    count = "local fresh = string.format('%08d', (tonumber(redis.call('GET', KEYS[i]) or '0') or 0) + 1)\n  "
    _rewrite(patch, "INVALIDATE", "local left_ms", count + "local left_ms")
    _rewrite(patch, "INVALIDATE", "KEYS[i], ARGV[2 * i],", "KEYS[i], fresh,")


def no_repetition(patch: Patch) -> None:
    """[repeat-on-switch] A server serves from a new primary without repeating what it acknowledged on the old one."""
    patch(RecentWrites, "recent", lambda _: [])


def two_leases(patch: Patch) -> None:
    """[grant-compares] A grant does not look whether the lease is still what was judged."""
    _rewrite(patch, "GRANT", "~= judged_lease", "== nil")


def early_acknowledgement(patch: Patch) -> None:
    """[hold-then-acknowledge] An invalidation is acknowledged before it holds."""
    invalidate = Changer.invalidate
    running: set[asyncio.Task[Any]] = set()

    async def promised(self: Changer, names: Sequence[str], **options: Any) -> None:
        async def later() -> None:
            await asyncio.sleep(0.03)
            await invalidate(self, names, **options)

        task = asyncio.create_task(later())
        running.add(task)
        task.add_done_callback(running.discard)

    patch(Changer, "invalidate", promised)


def sets_dropped(patch: Patch) -> None:
    """[nothing-silent] One set in twenty is answered and not done."""
    whole, sets = Writer.set, itertools.count(1)

    async def lazy(self: Writer, items: Sequence[SetItem], **options: Any) -> Any:
        if len(items) == 1 and next(sets) % 20 == 0:
            return [SetDone(PutOutcome.STORED, 1_000)]
        return await whole(self, items, **options)

    patch(Writer, "set", lazy)


def extra_tags_forgotten(patch: Patch) -> None:
    """[tags-with-the-lease] What is stored does not carry the extra tags its writer gave."""
    patch(tag_rules, "extra_tags", lambda *_: ())


def joins_a_read_that_was_sent(patch: Patch) -> None:
    """[join-before-sending] A get joins a read that is on its way already."""
    read = RedisStore.read
    running: dict[Any, asyncio.Task[Any]] = {}

    async def slowly(self: RedisStore, keys: Sequence[str], names: Sequence[str]) -> Any:
        found = await read(self, keys, names)
        await asyncio.sleep(0.1)
        return found

    async def shared(self: RedisStore, keys: Sequence[str], names: Sequence[str]) -> Any:
        wanted = (tuple(keys), tuple(names))
        if wanted not in running:
            running[wanted] = asyncio.create_task(slowly(self, keys, names))
            running[wanted].add_done_callback(lambda _: running.pop(wanted))
        return await asyncio.shield(running[wanted])

    patch(RedisStore, "read", shared)


MUTANTS: Final[dict[str, Mutant]] = {
    mutant.__name__: mutant
    for mutant in (
        fill_without_lease_check,
        fill_of_any_grant,
        epochs_read_after_the_load,
        missing_epoch_accepted,
        epochs_not_compared,
        no_node_identity,
        delete_keeps_lease,
        set_keeps_lease,
        reply_to_the_wrong_caller,
        no_fence,
        fence_from_after_giving_up,
        counters_as_epochs,
        no_repetition,
        two_leases,
        early_acknowledgement,
        sets_dropped,
        extra_tags_forgotten,
        joins_a_read_that_was_sent,
    )
}
"""By name."""
