"""Deliberately broken near caches: a rule of the log (docs/internals/rules.md) left out.

As in `coherence.mutants.service_mutants` each is made from outside, and each must be caught within 60 s. A mutant of
the client breaks client processes, one of the server breaks servers; in one process it does not matter which.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

import coherd._rpc.session_near
import coherd._rpc.session_transport
from coherd._clock import boottime_s
from coherd._near import Kept, NearCache, PendingRead
from coherd._near.domains import domain_of_tag
from coherd._rpc.session_near import SessionNear
from coherd.catalog.catalog import ResolvedKey
from coherd_server.core.near.change_log import Answer, Changes, LogPosition, Registry
from coherd_server.core.near.follower import Follower
from coherd_server.core.near.hub import Hub
from coherd_server.core.near.interest import Interest
from coherd_server.core.near.member import Member
from coherd_server.core.near.session import NearSession

Patch = Callable[[Any, str, Any], None]
Mutant = Callable[[Patch], None]


# Clients.


def no_mark_before_the_request(patch: Patch) -> None:
    """[mark-before-asking] A read is begun when its reply is there, so that nothing that happened meanwhile counts."""
    keep_columns, keep_one = coherd._rpc.session_near.keep_columns, coherd._rpc.session_near.keep_one

    def anew(near: NearCache, read: PendingRead | None) -> PendingRead | None:
        if read is None:
            return None
        near.release(read)
        return near.begin_read(read.key, boottime_s())

    def begun_late(near: NearCache, reads: list[PendingRead | None], at: int, answers: Any, *, serving: bool) -> None:
        reads[:] = [anew(near, read) for read in reads]
        keep_columns(near, reads, at, answers, serving=serving)

    def one_begun_late(near: NearCache, read: PendingRead, hit: Any, *, serving: bool) -> None:
        late = anew(near, read)
        if late is not None:
            keep_one(near, late, hit, serving=serving)

    patch(coherd._rpc.session_near, "keep_columns", begun_late)
    patch(coherd._rpc.session_near, "keep_one", one_begun_late)


def lease_counted_from_the_reply(patch: Patch) -> None:
    """[lease-from-sending] A lease runs from when its extension arrived."""

    def take(self: SessionNear, extension: Any) -> None:
        if self._serving:
            now_s = boottime_s()
            self.cache.extend(now_s + extension.lease_ms / 1000, now_s)

    patch(SessionNear, "take_extension", take)


def acknowledges_before_it_drops(patch: Patch) -> None:
    """[acknowledge-after-dropping] A push is acknowledged at once, and done later."""

    def done(near: NearCache, push: Any) -> None:
        if push.flush:
            near.flush()
        near.drop_keys(push.keys)
        near.drop_tags(push.tags)

    def later(self: SessionNear, push: Any) -> None:
        asyncio.get_running_loop().call_later(0.1, done, self.cache, push)

    patch(SessionNear, "drop_pushed", later)


def not_flushed_on_reconnect(patch: Patch) -> None:
    """[flush-after-a-lapse] What was kept is served on under the next session."""

    def kept(self: NearCache) -> None:
        """The stream is lost: as if nothing was."""

    patch(NearCache, "disconnect", kept)


def tag_push_does_not_void_marks(patch: Patch) -> None:
    """[mark-before-asking] A tag drops what is kept, and not what is being asked for."""

    def drop_tags(self: NearCache, tags: Iterable[str]) -> None:
        for tag in tags:
            if domain_of_tag(tag) in self._domains:
                for kept in self._tags.of(tag):
                    self._forget(kept)

    patch(NearCache, "drop_tags", drop_tags)


def lapsed_lease_still_served(patch: Patch) -> None:
    """[in-step-lease] The lease is not looked at."""

    def lookup(self: NearCache, key: str, now_s: float) -> Kept | None:
        kept = self._entries.get(key)
        if kept is not None and now_s < kept.expires_s:
            kept.count_hit()
            return kept
        return None

    patch(NearCache, "lookup", lookup)


def own_change_not_dropped(patch: Patch) -> None:
    """[own-changes-drop] A client's own change waits for its push."""

    def ignored(near: NearCache, *_: Any) -> None:
        """Drops nothing."""

    patch(coherd._rpc.session_near, "drop_keys", ignored)
    patch(coherd._rpc.session_near, "drop_changed", ignored)
    patch(coherd._rpc.session_transport, "drop_changed", ignored)


# Servers.


def gap_ignored(patch: Patch) -> None:
    """[gap-means-flush] Entries are applied whatever is missing before them."""
    read = Follower.read

    def blind(self: Follower, changes: Changes, after: LogPosition) -> bool:
        position = self._hub.position
        if position is not None and changes.entries and changes.entries[0].generation == position.generation:
            self._hub.position = position._replace(offset=changes.entries[0].offset - 1)
            after = self._hub.position
        return read(self, changes, after)

    patch(Follower, "read", blind)


def published_before_acknowledged(patch: Patch) -> None:
    """[published-after-acknowledged] A watermark is what was applied, whatever sessions have acknowledged."""
    patch(Hub, "watermark", property(lambda self: self.position))


def in_flight_window_not_checked(patch: Patch) -> None:
    """[registered-with-the-reply] A reply may be kept though what it depends on changed while it was read."""
    patch(Interest, "has_changed", lambda self, key, tags, started: False)


def interest_without_extra_tags(patch: Patch) -> None:
    """[registered-with-the-reply] A session is registered for the tags of the key alone."""
    register = NearSession.register

    def narrow(self: NearSession, key: ResolvedKey, extra: object, started: int) -> bool:
        return register(self, key, (), started)

    patch(NearSession, "register", narrow)


def registry_read_before_the_append(patch: Patch) -> None:
    """[registry-by-the-append] A strict change waits for the members known before, not for those its append found."""
    confirm, joined = Member.confirm, Member._join_once

    async def remembering(self: Member) -> None:
        await joined(self)
        known: Any = self
        if not hasattr(known, "first_registry"):
            known.first_registry = frozenset(self._view._since_s)

    async def outdated(self: Member, appended: Answer, *, asked_s: float) -> bool:
        known = getattr(self, "first_registry", None)
        if known is not None:
            registry = appended.registry
            fields = {name: field for name, field in registry.fields.items() if name in known}
            appended = appended._replace(registry=Registry(registry.incarnation, registry.complete, fields))
        return await confirm(self, appended, asked_s=asked_s)

    patch(Member, "_join_once", remembering)
    patch(Member, "confirm", outdated)


CLIENT_MUTANTS: Final[dict[str, Mutant]] = {
    mutant.__name__: mutant
    for mutant in (
        no_mark_before_the_request,
        lease_counted_from_the_reply,
        acknowledges_before_it_drops,
        not_flushed_on_reconnect,
        tag_push_does_not_void_marks,
        lapsed_lease_still_served,
        own_change_not_dropped,
    )
}
SERVER_MUTANTS: Final[dict[str, Mutant]] = {
    mutant.__name__: mutant
    for mutant in (
        gap_ignored,
        published_before_acknowledged,
        in_flight_window_not_checked,
        interest_without_extra_tags,
        registry_read_before_the_append,
    )
}
NEAR_MUTANTS: Final[dict[str, Mutant]] = {**CLIENT_MUTANTS, **SERVER_MUTANTS}
"""By name."""
