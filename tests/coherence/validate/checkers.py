"""The promises P1 to P6 as pure functions over a recorded history. Each gives the violations it finds."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from coherence.history import CHANGES, STORES, History, Operation
from coherence.traffic.keyspace import derived_tags
from coherence.validate.floors import Floors, origins
from coherence.validate.near_checkers import NEAR_CHECKS
from coherence.validate.timeline import FORGETTING, LOSING, Spans, stopped_for
from coherence.validate.violation import Violation

CALL_BOUND_S: Final = 3.0 + 3.0
"""A call ends by its deadline, and the time its process gets to notice on a busy machine."""
NOTICED_NS: Final = 2_000_000_000
"""A node that has another identity after a fault is noticed by the one-second check, which may take a second on a busy
machine; until then entries are stamped with the old one, and are dead when it is noticed
[node-identity]."""
_REFUSED: Final = (
    *("rejected", "older", "present", "error:STORE_UNAVAILABLE", "error:STORE_FULL", "error:CONTENDED"),
    *("error:Unavailable", "error:Overloaded", "error:StoreFull", "error:Contended"),
)
"""Answers of a store that say that nothing was stored."""


def check_no_resurrection(history: History) -> list[Violation]:
    """P1: a read that starts after an acknowledged Invalidate or Delete returns nothing that was loaded before it.

    "Before" by time: the source was read before the change began. So also a value of the version that is current is
    found out, where the change was about nothing. A value that was set counts from when its set was settled; one whose
    set got no answer may take effect at any time. An acknowledged Set ends older values of its key in the same way.
    Reads that a near cache answered are left to the checks of P2.
    """
    floors = Floors(history)
    found: list[Violation] = []
    for read in history.reads:
        broken = None if read.near else floors.broken_by(read)
        if broken is not None and read.value is not None:
            change, scope = broken
            text = f"{read.value.origin} {read.value.nonce} came back after {change.path} of {scope}"
            evidence = (*origins(history, read.value), change, read)
            found.append(Violation("P1 no resurrection", text, evidence))
    return found


def check_no_crossing(history: History) -> list[Violation]:
    """P3: a read of a key returns a value that was loaded or set for that key."""
    found: list[Violation] = []
    for read in history.operations:
        if read.garbled:
            found.append(Violation("P3 no crossing", "bytes nobody stored", (read,)))
        elif read.value is not None and read.value.key != read.key:
            text = f"asked for {read.key}, got a value of {read.value.key}"
            found.append(Violation("P3 no crossing", text, (read,)))
    return found


class _Hold(NamedTuple):
    lease: Operation
    from_ns: int
    """Granted by then."""
    to_ns: int
    """Not before then: released, or expired."""


def check_one_load(history: History) -> list[Violation]:
    """P5: no two leases of a key are live and current at one moment.

    Live: from the answer that granted it until its fill or abandon begins, or its time is over. Not current any more: a
    change of the key or one of its tags began meanwhile, or the store forgot (`FORGETTING`).
    """
    ended: dict[str, int] = {}
    for one in history.on("fill", "batch_fill", "abandon"):
        ended[one.token] = min(one.start_ns, ended.get(one.token, one.start_ns))
    changes = _spans(history, "set", "batch_set", *CHANGES)
    forgetting = Spans()
    for one in history.faults:
        if one.key in FORGETTING:
            forgetting.add(one)
    extra: dict[str, tuple[str, ...]] = {one.key: one.value.tags for one in history.operations if one.value is not None}
    holds: defaultdict[str, list[_Hold]] = defaultdict(list)
    found: list[Violation] = []
    for lease in history.on("lease", "batch_lease"):
        if lease.outcome != "granted" or lease.end_ns is None:
            continue
        over_ns = lease.start_ns + lease.lease_ms * 1_000_000
        to_ns = min(ended.get(lease.token, over_ns), over_ns)
        live = holds[lease.key]
        live[:] = [hold for hold in live if hold.to_ns > lease.start_ns]
        for hold in live:
            if hold.to_ns <= lease.end_ns or to_ns <= hold.from_ns:
                continue
            scopes = (f"={lease.key}", *derived_tags(lease.key), *extra.get(lease.key, ()))
            span = (hold.lease.start_ns, max(hold.from_ns, lease.end_ns))
            if forgetting.touch(*span) or any(changes[scope].touch(*span) for scope in scopes):
                continue
            found.append(Violation("P5 one load", f"two live leases of {lease.key}", (hold.lease, lease)))
        live.append(_Hold(lease, lease.end_ns, to_ns))
    return found


def _spans(history: History, *paths: str) -> defaultdict[str, Spans]:
    """Operations of these paths by the tag, or the key, they change."""
    spans: defaultdict[str, Spans] = defaultdict(Spans)
    for one in history.on(*paths):
        for scope in (*one.tags, f"={one.key}" if one.key else ""):
            spans[scope].add(one)
    return spans


def check_nothing_silent(history: History) -> list[Violation]:
    """P6: what could not be done says so: every call ends in time; what was answered as not stored is never read; what
    was answered as stored is there for the next read, if nothing touched it."""
    return [*_unanswered(history), *_refused_and_read(history), *_stored_and_gone(history)]


def _unanswered(history: History) -> Iterable[Violation]:
    faults = history.faults
    for one in history.operations:
        if one.path in ("fault", "load", "commit", "client_get_or_load") or one.end_ns is None:
            continue
        took_s = (one.end_ns - one.start_ns) / 1e9 - stopped_for(faults, one)
        if took_s > CALL_BOUND_S:
            yield Violation("P6 nothing silent", f"a call of {took_s:.1f} s", (one,))


def _refused_and_read(history: History) -> Iterable[Violation]:
    refused: dict[str, Operation] = {}
    for one in history.on(*STORES):
        if one.value is not None and one.outcome in _REFUSED:
            refused[one.value.nonce] = one
    returned = {one.id for one in history.on("client_get_or_load")}
    for read in history.reads:
        store = refused.get(read.value.nonce) if read.value is not None else None
        if store is not None and read.id not in returned:
            yield Violation("P6 nothing silent", f"read although its store was answered {store.outcome}", (store, read))


def _stored_and_gone(history: History) -> Iterable[Violation]:
    changes = _spans(history, *STORES, *CHANGES)
    reads: defaultdict[str, list[Operation]] = defaultdict(list)
    for one in history.on("get"):
        reads[one.key].append(one)
    losing = Spans()
    for fault in history.faults:
        if fault.key in LOSING:
            end_ns = None if fault.end_ns is None else fault.end_ns + NOTICED_NS
            losing.add(dataclasses.replace(fault, end_ns=end_ns))
    for store in history.on("set"):
        if store.outcome != "stored" or not store.key.startswith("content:"):
            continue
        at = bisect_left(reads[store.key], store.end_ns or 0, key=lambda one: one.start_ns)
        read = reads[store.key][at] if at < len(reads[store.key]) else None
        if read is None or not read.is_acknowledged or read.end_ns is None:
            continue
        scopes = (f"={store.key}", *derived_tags(store.key))
        span = (store.start_ns, read.end_ns)
        if losing.touch(*span) or any(changes[scope].touch(*span, but=store.id) for scope in scopes):
            continue
        if read.value is None or read.value.nonce != store.id:
            yield Violation("P6 nothing silent", f"answered stored, then {read.outcome}", (store, read))


def check_safe_under_loss(history: History) -> list[Violation]:
    """P4: whatever is lost, a read answers a value that somebody stored before, a miss, or an error that names a cause;
    no call runs into a defect of the server."""
    begun: dict[str, Operation] = {one.id: one for one in history.on("set", "batch_set")}
    loads: dict[str, int] = {}
    for one in history.on("load", "fill", "batch_fill"):
        if one.value is not None:
            loads[one.value.nonce] = min(one.value.read_ns, loads.get(one.value.nonce, one.value.read_ns))
    found: list[Violation] = []
    for one in history.operations:
        if one.outcome in ("error:INTERNAL", "error:ServerDefect"):
            found.append(Violation("P4 safe under loss", "a defect of the server", (one,)))
    for read in history.reads:
        value = read.value
        assert value is not None
        origin = begun.get(value.nonce)
        at_ns = origin.start_ns if origin is not None else loads.get(value.nonce)
        if at_ns is None and read.path != "client_get_or_load":
            found.append(Violation("P4 safe under loss", "a value nobody stored", (read,)))
        elif at_ns is not None and read.end_ns is not None and at_ns > read.end_ns:
            found.append(Violation("P4 safe under loss", "a value from after the read", (read,)))
    return found


CHECKS: Final[dict[str, Callable[[History], list[Violation]]]] = {
    "P1": check_no_resurrection,
    **NEAR_CHECKS,
    "P3": check_no_crossing,
    "P4": check_safe_under_loss,
    "P5": check_one_load,
    "P6": check_nothing_silent,
}
"""By the promise each is about."""


def check_all(history: History) -> list[Violation]:
    """All violations of all promises."""
    return [violation for check in CHECKS.values() for violation in check(history)]
