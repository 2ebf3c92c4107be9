"""An exhaustive search of the protocol's interleavings: what the rules (docs/internals/rules.md) allow, step by step.

One key on its node, its tags on theirs; readers that get or load under a lease, each before a server of its own; a
writer that commits a version and then invalidates a tag, deletes or sets; and faults: a lost epoch, fence or lease, a
node that comes back with what it held earlier (a restart from a snapshot, or a failover to a replica that lags), and
commands that arrive late. Every read or script is one step on one node. Breadth first, so the first violation found has
the shortest trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from coherence.model import searching
from coherence.model.searching import Broken, Result
from coherence.model.store_sets import IDLE, Sets, Step
from coherence.model.store_state import (
    NOTHING,
    Bounds,
    KeyNode,
    Rules,
    Stamped,
    State,
    TagNode,
    fresh,
    minus,
    with_reader,
    with_tag,
)


class Model(Sets):
    """The steps that are possible in a state."""

    def start(self) -> State:
        b = self.bounds
        nodes = tuple(TagNode(identity) for identity in range(2, 2 + b.tags))
        left = (b.writes, b.evictions, b.expiries, b.rollbacks, b.late)
        return self._remembering(State(KeyNode(1), nodes, (IDLE,) * b.readers, IDLE, left))

    def steps(self, s: State) -> Iterator[Step]:
        if not s.memories:
            yield from self._steps(s)
        else:
            for what, after in self._steps(s):
                yield from self._learned(s, what, after)

    def _steps(self, s: State) -> Iterator[Step]:
        yield from self._writer(s)
        for i, reader in enumerate(s.readers):
            for what, after in self._reader(s, i, reader):
                yield f"reader {i} {what}", after
        yield from self._late(s)
        yield from self._faults(s)

    # Parts of steps.

    def _valid(self, found: Stamped | None, node: int, epochs: tuple[tuple[int, int], ...]) -> bool:
        """Whether stamps are those read."""
        if found is None or (self.rules.key_node_identity and found.node != node):
            return False
        if not self.rules.epochs_compared:
            return True
        if self.rules.missing_is_a_miss:
            return found.epochs == epochs and all(epoch for _, epoch in epochs)
        return all(now[1] == 0 or now == then for now, then in zip(epochs, found.epochs, strict=True))

    # The writer.

    def _writer(self, s: State) -> Iterator[Step]:
        match s.writer:
            case ("idle",) if s.left[0]:
                for verb in self.bounds.verbs:
                    yield f"commit v{s.source + 1}", s._replace(source=s.source + 1, writer=(verb,), left=minus(s, 0))
            case ("I",):
                epoch = fresh(s) if self.rules.epochs_unique else s.tags[0].epoch + 1
                done = with_tag(s, 0, epoch=epoch)._replace(writer=IDLE, floor=s.source)
                yield f"Invalidate of v{s.source - 1} acknowledged", done
                if s.left[4]:
                    copy = ("I", 0 if self.rules.copies_have_ids_of_their_own else epoch)
                    yield (
                        "Invalidate acknowledged, a copy is on its way",
                        done._replace(late=(*s.late, copy), left=minus(s, 4)),
                    )
            case ("D",):
                lease = None if self.rules.delete_voids_lease else s.key.lease
                key = s.key._replace(entry=None, lease=lease, fence=self._fence_after(s))
                yield "Delete acknowledged", s._replace(key=key, writer=IDLE, floor=s.source)
            case ("S" | "F", *_):
                yield from self._set(s)

    def _late(self, s: State) -> Iterator[Step]:
        for at, copy in enumerate(s.late):
            rest = s._replace(late=s.late[:at] + s.late[at + 1 :])
            if copy[0] == "I":
                yield "a late copy of Invalidate arrives", with_tag(rest, 0, epoch=copy[1] or fresh(s))
            elif copy[0] == "L":
                yield "a late copy of Lease arrives", self._lease_copy(rest, copy[1])
            else:
                key = self._put(s, copy) if s.key.identity == copy[3] else None
                yield f"a late Set of v{copy[2].what} arrives", rest if key is None else rest._replace(key=key)

    def _lease_copy(self, s: State, token: int) -> State:
        """Granted at once if nothing stands against it; nobody loads for the answer."""
        for tag in range(len(s.tags)):
            s = self._ensure_epoch(s, tag)
        key, epochs = s.key, self._now(s)
        if self._valid(key.entry, key.identity, epochs) or self._valid(key.lease, key.identity, epochs):
            return s
        lease = Stamped(fresh(s), key.identity if self.rules.key_node_identity else 0, epochs, token)
        return s._replace(key=key._replace(lease=lease))

    # Readers: read key and tags, in any order; a hit, or make what is missing, and ask for the lease, load and fill.

    def _reader(self, s: State, i: int, reader: tuple[Any, ...]) -> Iterator[Step]:
        match reader:
            case ("idle",):
                yield from self._reader(s, i, ("read", s.floor, None, (None,) * len(s.tags)))
            case ("read" | "ensure" as way, floor, key, epochs) if key is None or None in epochs:
                if key is None:
                    yield "reads the key", with_reader(s, i, (way, floor, s.key[:3], epochs))
                for tag in (tag for tag, seen in enumerate(epochs) if seen is None):
                    after = s if way == "read" else self._ensure_epoch(s, tag)
                    seen = (*epochs[:tag], self._stamp(after.tags[tag]), *epochs[tag + 1 :])
                    yield f"{way}s tag {tag}", with_reader(after, i, (way, floor, key, seen))
            case ("read" | "ensure" as way, floor, (node, entry, lease), epochs):
                if self._valid(entry, node, epochs):
                    if entry.what < floor:
                        raise Broken(f"P1: reader {i} started after v{floor} was made known, and gets v{entry.what}")
                    yield f"gets v{entry.what}", with_reader(s, i, IDLE)
                elif not self.bounds.loads:
                    yield "misses", with_reader(s, i, IDLE)
                elif way == "read" and (self.rules.judged_by_later_epochs or not all(epoch for _, epoch in epochs)):
                    if self.bounds.remembers and not entry and not lease and all(epoch for _, epoch in epochs):
                        yield from self._grant(s, i, (node, entry, lease), epochs)  # nothing was judged dead
                    again = ("ensure", floor, (node, entry, lease), (None,) * len(s.tags))
                    yield "misses", with_reader(s, i, again)
                elif self._valid(lease, node, epochs):
                    yield "finds a lease", with_reader(s, i, IDLE)
                else:
                    yield from self._grant(s, i, (node, entry, lease), epochs)
            case ("load", granted):
                yield f"loads v{s.source}", with_reader(s, i, ("fill", granted, s.source))
            case ("fill", granted, version):
                lease = self._lease_of(s, granted)
                if lease is not None:
                    epochs = lease.epochs if self.rules.stamps_of_the_grant else self._now(s)
                    entry = Stamped(version, lease.node, epochs)
                    key = s.key._replace(entry=entry, lease=None, fence=self._fence_after(s))
                    yield f"fills v{version}", with_reader(s._replace(key=key), i, IDLE)
                else:
                    yield "is refused", with_reader(s, i, IDLE)

    def _lease_of(self, s: State, granted: Stamped) -> Stamped | None:
        """The lease a fill is stored under: what is found in its place, since that has the stamps."""
        if not self.rules.fill_needs_lease:
            return granted
        lease = s.key.lease
        if lease is None or lease.token != granted.token:
            return None
        return lease if lease.what == granted.what or not self.rules.fill_needs_grant else None

    def _grant(self, s: State, i: int, judged: tuple[Any, ...], epochs: tuple[tuple[int, int], ...]) -> Iterator[Step]:
        key = s.key
        if (key.identity, key.entry) != judged[:2] or (self.rules.grant_compares and key.lease != judged[2]):
            yield "finds another key than it judged", with_reader(s, i, IDLE)
            return
        current = key.lease if self._valid(key.lease, key.identity, self._now(s)) else None
        if current is not None and any(one[0] in ("load", "fill") and one[1] == current for one in s.readers):
            raise Broken(f"P5: reader {i} is granted a lease while another is live and current")
        name = fresh(s)
        lease = Stamped(name, key.identity if self.rules.key_node_identity else 0, epochs, name)
        done = with_reader(s._replace(key=key._replace(lease=lease)), i, ("load", lease))
        yield "is granted the lease", done
        if s.left[4]:
            copy = done._replace(late=(*s.late, ("L", name)), left=minus(s, 4))
            yield "is granted the lease, a copy of its request is on its way", copy

    # Faults.

    def _faults(self, s: State) -> Iterator[Step]:
        if s.left[1]:
            less = s._replace(left=minus(s, 1))
            for tag in (tag for tag, node in enumerate(s.tags) if node.epoch):
                yield f"the epoch of tag {tag} is lost", with_tag(less, tag, epoch=0)
            if s.key.fence:
                yield "the fence is lost", less._replace(key=s.key._replace(fence=0))
        if s.left[2] and s.key.lease is not None:
            yield "the lease expires", s._replace(key=s.key._replace(lease=None), left=minus(s, 2))
        if s.left[3]:
            less = s._replace(left=minus(s, 3))
            if s.key.saved == NOTHING != s.key[1:4]:
                yield "the key's node saves", s._replace(key=s.key._replace(saved=s.key[1:4]))
            # Where servers remember, also if only other keys were written since: their writes count, too.
            if s.key.saved != s.key[1:4] or (self.bounds.remembers and s.key.saved != NOTHING):
                yield "the key's node goes back", less._replace(key=KeyNode(fresh(s), *s.key.saved))
            for tag, node in enumerate(s.tags):
                if not node.saved and node.epoch:
                    yield f"the node of tag {tag} saves", with_tag(s, tag, saved=node.epoch)
                if node.saved != node.epoch:
                    back = {"epoch": node.saved, "identity": fresh(s), "saved": 0}
                    yield f"the node of tag {tag} goes back", with_tag(less, tag, **back)


def search(rules: Rules, bounds: Bounds, *, most: int = 2_000_000) -> Result:
    """All states of the store protocol; see `coherence.model.searching.search`."""
    model = Model(rules, bounds)
    return searching.search(model.start(), model.steps, most)
