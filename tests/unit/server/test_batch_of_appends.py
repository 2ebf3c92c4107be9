"""Appends in a batch: behind everything else, and one entry for all callers."""

from __future__ import annotations

from coherd_server.redis.batch import Batch
from coherd_server.redis.jobs import Job
from coherd_server.redis.scripts import APPEND, INVALIDATE, PUT, REMOVE

LOG = ("coherd:log", "coherd:replicas:{coherd:log}")


def append(names: str, awaited: int = 0, keep: int = 100) -> Job:
    return Job(APPEND, LOG, (keep, names, awaited))


def test_appends_go_behind_all_changes_whoever_came_first() -> None:
    batch = Batch(wide=True)
    batch.add_job(append("ka"))
    batch.add_job(Job(PUT, ("a", "l", "w", "f"), (bytes(12), b"entry"), common=(b"mark", b"-")))
    batch.add_job(Job(None, ("c",), ("HINCRBY", "c", "hits", 1)))
    batch.add_job(Job(INVALIDATE, ("tag",), (1,), replicas=1))
    batch.add_job(append("tb"))
    batch.add_job(Job(REMOVE, ("b", "l", "w", "f"), (bytes(12),)))
    batch.add_names(["x"])
    commands = batch.pack(b"node", 1, 1)
    scripts = [command[1] for command in commands if command[0] == "EVALSHA"]
    assert scripts.count(APPEND.sha) == 1
    assert scripts[-1] == APPEND.sha
    assert [commands[-2][1], commands[-1][0]] == [APPEND.sha, "WAIT"]


def test_appends_of_many_callers_are_one_entry() -> None:
    batch = Batch(wide=True)
    places = [
        batch.add_job(append("ka\ntb")),
        batch.add_job(append("kc", awaited=1)),
        batch.add_job(append("kd", keep=7)),
    ]
    assert places == [0, 0, 0]
    [command] = batch.pack(b"node", 5, 1)
    assert command[:5] == ("EVALSHA", APPEND.sha, 2, *LOG)
    assert command[5] == 5
    assert isinstance(command[6], bytes), "a fresh id for a generation that may begin"
    assert command[7:] == (100, "ka\ntb\nkc\nkd", 1)


def test_what_others_share_is_not_taken_back() -> None:
    batch = Batch(wide=True)
    place = batch.add_job(append("ka"))
    assert not batch.withdraw(place)
    own = batch.add_job(Job(REMOVE, ("b", "l", "w", "f"), (bytes(12),)))
    assert batch.withdraw(own)
    assert [command[1] for command in batch.pack(b"node", 1, 1)] == [APPEND.sha]


def test_mints_and_invalidations_are_shared_by_their_longest_lifetime() -> None:
    batch = Batch(wide=True)
    first = batch.add_job(Job(INVALIDATE, ("tag",), (5,)))
    assert batch.add_job(Job(INVALIDATE, ("tag",), (9,), replicas=2)) == first
    assert batch.add_job(Job(INVALIDATE, ("other",), (7,))) != first
    [command, wait] = batch.pack(b"node", 1, 1)
    assert command[-1] == 7
    assert 9 in command
    assert wait[:2] == ("WAIT", 2)
