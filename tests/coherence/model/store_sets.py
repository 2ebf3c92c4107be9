"""Of the exhaustive search (`store_model`): a writer's Sets, fences, and what servers remember.

A Set is slow (it reads fence and stamps, then puts) or, where servers remember, fast: it puts with what its server
remembers, and reads the stamps of now at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from coherence.model.store_state import (
    Bounds,
    KeyNode,
    Rules,
    Stamped,
    State,
    TagNode,
    fresh,
    minus,
    with_memory,
    with_tag,
    without_gone,
)

IDLE = ("idle",)
STALE = "stale"
"""Instead of the stamps a fast Set has yet to compare: one was no longer what it put."""
Step = tuple[str, State]


class Sets:
    """The steps of Sets."""

    def __init__(self, rules: Rules, bounds: Bounds) -> None:
        self.rules, self.bounds = rules, bounds

    # Epochs.

    def _stamp(self, node: TagNode) -> tuple[int, int]:
        return (node.identity if self.rules.tag_node_identity else 0, node.epoch)

    def _ensure_epoch(self, s: State, tag: int) -> State:
        if s.tags[tag].epoch or not self.rules.missing_is_a_miss:
            return s
        return with_tag(s, tag, epoch=fresh(s) if self.rules.epochs_unique else 1)

    def _now(self, s: State) -> tuple[tuple[int, int], ...]:
        return tuple(map(self._stamp, s.tags))

    # The Set that is under way.

    def _set(self, s: State) -> Iterator[Step]:
        match s.writer:
            case ("S",):
                yield from self._set(s._replace(writer=self._slow()))
                for at in range(len(s.memories)):
                    for after in self._recall(s, at):
                        fence, *stamps = after.memories[at]
                        put = ("fast", fence, self._stamped(s, fence, stamps))
                        yield from self._set(after._replace(writer=("F", put, tuple(stamps))))
            case ("S", *read) if None in read:  # fence and epochs may be on different nodes: in any order
                if read[0] is None:
                    after = self._fenced(s)
                    yield "Set reads the fence", after._replace(writer=("S", self._fence(after.key), *read[1:]))
                for tag in (tag for tag in range(len(s.tags)) if read[1 + tag] is None):
                    after = self._ensure_epoch(s, tag)
                    seen = (*read[: 1 + tag], self._stamp(after.tags[tag]), *read[2 + tag :])
                    yield f"Set reads tag {tag}", after._replace(writer=("S", *seen))
            case ("S", fence, *epochs):
                put = ("slow", fence, self._stamped(s, fence, epochs))
                yield from self._send(s, put, s._replace(writer=IDLE, floor=s.source))
            case ("F", put, unread):
                if put is not None:
                    yield from self._send(s, put, self._settled(s, None, unread))
                for tag, stamp in enumerate(() if unread == STALE else unread):
                    if stamp is not None:
                        same = stamp == self._stamp(s.tags[tag])
                        rest = (*unread[:tag], None, *unread[tag + 1 :]) if same else STALE
                        yield f"fast Set reads tag {tag}", self._settled(s, put, rest)

    def _slow(self) -> tuple[Any, ...]:
        return ("S", *(None,) * (1 + self.bounds.tags))

    def _stamped(self, s: State, fence: Any, stamps: Iterable[tuple[int, int]]) -> Stamped:
        node = fence[0] if self.bounds.remembers else s.key.identity
        return Stamped(s.source, node if self.rules.key_node_identity else 0, tuple(stamps))

    def _settled(self, s: State, put: tuple[Any, ...] | None, unread: Any) -> State:
        """A fast Set with this put still to come (None: it was executed), and these stamps to be compared."""
        if put is not None or (unread != STALE and any(unread)):
            return s._replace(writer=("F", put, unread))
        return s._replace(writer=self._slow()) if unread == STALE else s._replace(writer=IDLE, floor=s.source)

    def _send(self, s: State, put: tuple[Any, ...], done: State) -> Iterator[Step]:
        """A put is executed, or the Set starts over, or the put is lost on its way."""
        way, fence, _ = put
        if self.bounds.remembers and self.rules.put_needs_identity and fence[0] != s.key.identity:
            yield f"{way} Set finds another node", s._replace(writer=self._slow())
            return
        key = self._put(s, put)
        if key is None:
            yield f"{way} Set finds another fence", s._replace(writer=self._slow())
        else:
            yield f"{way} Set of v{s.source} is executed", done._replace(key=key)
        if s.left[4]:
            late = (*s.late, (*put, s.key.identity))
            yield f"{way} Set is lost on its way", s._replace(writer=IDLE, late=late, left=minus(s, 4))

    def _put(self, s: State, put: tuple[Any, ...]) -> KeyNode | None:
        way, fence, entry = put[:3]
        if self.rules.fenced and not self._holds(s.key, way, fence):
            return None
        if not self.rules.stamps_of_before:
            entry = entry._replace(epochs=self._now(s))
        if not self.rules.put_needs_identity:
            entry = entry._replace(node=s.key.identity)
        lease = None if self.rules.set_voids_lease else s.key.lease
        return s.key._replace(entry=entry, lease=lease, fence=self._fence_after(s))

    # Fences. Without memory one is an id: a write takes it away, asking makes one. With memory it is an incarnation
    # (new if it was lost) and the number of the last write; one that is known passes if no write was above it. So one
    # from before the node went back to that incarnation may pass, whatever was written since.

    @property
    def _counts(self) -> bool:
        return self.bounds.remembers > 0 and self.rules.absence_is_no_fence

    def _fence(self, key: KeyNode) -> Any:
        """What who asks is told."""
        if self._counts:
            return (key.identity, *key.fence)
        return (key.identity, key.fence) if self.bounds.remembers else key.fence

    def _fenced(self, s: State) -> State:
        if s.key.fence:
            return s
        return s._replace(key=s.key._replace(fence=(fresh(s), 0) if self._counts else fresh(s)))

    def _fence_after(self, s: State) -> Any:
        if not self.rules.writes_change_the_fence:
            return s.key.fence
        if not self._counts or not s.key.fence:
            return 0  # a lost one is lost until somebody asks
        return (s.key.fence[0], fresh(s))

    def _holds(self, key: KeyNode, way: str, known: Any) -> bool:
        if not self._counts:
            passes: bool = known == self._fence(key)
        elif not key.fence:
            passes = not self.rules.lost_fence_fences
        else:
            node, incarnation, number = known
            passes = key.fence[0] == incarnation and (key.fence[1] == number or key.identity != node)
            passes |= way == "fast" and not self.rules.fast_put_compares
        return passes

    # What servers remember: of each part what it was at some time. They learn it when it changes (what it was until
    # then) or when they use it (what it is): that they learned it earlier nobody could notice.

    def _remembering(self, s: State) -> State:
        """Others have asked for everything before."""
        if self.bounds.remembers:
            s = self._fenced(s._replace(memories=((None,) * (1 + len(s.tags)),) * self.bounds.remembers))
            for tag in range(len(s.tags)):
                s = self._ensure_epoch(s, tag)
        return s

    def _part(self, s: State, part: int) -> tuple[int, ...] | None:
        """The fence or, from 1, the stamp of a tag. Nobody remembers that there is none."""
        if part:
            return self._stamp(s.tags[part - 1]) if s.tags[part - 1].epoch else None
        fence: tuple[int, ...] | None = self._fence(s.key) if s.key.fence or not self._counts else None
        return fence

    def _learned(self, s: State, what: str, after: State) -> Iterator[Step]:
        """A step, and the same where servers knew what it changed."""
        if not after.left[0] and after.writer != ("S",):
            yield what, after._replace(memories=())
            return
        known = [(what, after)]
        for part in range(1 + len(s.tags)):
            before = self._part(s, part)
            if before is not None and before != self._part(after, part):
                name = f"tag {part - 1}" if part else "the fence"
                for at in range(len(s.memories)):
                    known += [
                        (f"{so_far}; server {at} knew {name}", with_memory(state, at, part, before))
                        for so_far, state in known
                        if state.memories[at][part] != before
                    ]
        for so_far, state in known:
            yield so_far, without_gone(state)

    def _recall(self, s: State, at: int, part: int = 0) -> Iterator[State]:
        """Each part as a server remembers it, or as it is (or comes to be: others may have asked for it)."""
        if part > len(s.tags):
            yield s
            return
        if s.memories[at][part] is not None:
            yield from self._recall(s, at, part + 1)
        after = self._ensure_epoch(s, part - 1) if part else self._fenced(s) if self._counts else s
        now = self._part(after, part)
        if s.memories[at][part] != now:
            yield from self._recall(with_memory(after, at, part, now), at, part + 1)
