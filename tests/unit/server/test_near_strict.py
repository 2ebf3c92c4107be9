"""When a strict change is confirmed, and what is known of other replicas by watching. Pure: times are arguments."""

from __future__ import annotations

from coherd_server.core.near.ports import Answer, Field, Place, Registry
from coherd_server.core.near.strict import Confirmation
from coherd_server.core.near.terms import Terms
from coherd_server.core.near.watch import Seen, Watch

TERMS = Terms(lease_ms=1_000)
"""Over after 1.1 s."""
NODE, GENERATION, INCARNATION = b"node-one", b"begun-00", b"registry"
ENTRY = Place(NODE, GENERATION, 10)
OWN, B, C = "a" * 32, "b" * 32, "c" * 32


def field(position: int | None, beat: bytes = b"beat", place: Place = ENTRY) -> Field:
    watermark = None if position is None else place._replace(position=position)
    return Field(repr(watermark).encode() + beat, watermark)


def answer(
    fields: dict[str, Field], *, complete: bool = True, place: Place = ENTRY, incarnation: bytes = INCARNATION
) -> Answer:
    return Answer(place, Registry(incarnation, incarnation + place.identity if complete else b"", fields))


def confirmation(fields: dict[str, Field], *, complete: bool = True) -> Confirmation:
    """Of `ENTRY`, appended at second 100; the own replica has it already."""
    made = Confirmation(answer(fields), own=OWN, complete=complete, now_s=100.0)
    made.own(ENTRY, ENTRY)
    return made


def seen(
    fields: dict[str, Field],
    *,
    asked_s: float = 100.5,
    complete: bool = True,
    silent: frozenset[str] = frozenset(),
    place: Place = ENTRY,
) -> Seen:
    return Seen(place, asked_s, fields, complete, silent)


def test_done_at_once_where_all_have_it() -> None:
    assert confirmation({OWN: field(3), B: field(10), C: field(11)}).is_done


def test_waits_for_each_replica() -> None:
    wait = confirmation({B: field(9), C: field(None)})
    assert not wait.is_done
    wait.heard(B, field(10))
    assert not wait.is_done
    wait.heard("unknown", field(10))
    wait.saw(seen({B: field(10), C: field(12)}))
    assert wait.is_done


def test_the_own_replica_counts_by_what_it_knows_of_itself() -> None:
    wait = Confirmation(answer({OWN: field(10)}), own=OWN, complete=True, now_s=100.0)
    assert not wait.is_done
    wait.own(ENTRY, ENTRY._replace(position=9))
    assert not wait.is_done
    wait.own(ENTRY, ENTRY)
    assert wait.is_done


def test_a_process_that_never_joined_has_no_sessions() -> None:
    wait = Confirmation(answer({}), own=OWN, complete=True, now_s=100.0)
    wait.own(None, None)
    assert wait.is_done


def test_watermarks_of_another_log_do_not_count() -> None:
    wait = confirmation({B: field(9)})
    wait.heard(B, field(99, place=ENTRY._replace(generation=b"begun-11")))
    wait.heard(B, field(99, place=ENTRY._replace(identity=b"node-two")))
    assert not wait.is_done


def test_a_silent_replica_is_not_waited_for() -> None:
    wait = confirmation({B: field(9)})
    wait.saw(seen({B: field(9)}))
    assert not wait.is_done
    wait.saw(seen({B: field(9)}, silent=frozenset({B})))
    assert wait.is_done


def test_a_look_from_before_the_append_says_nothing() -> None:
    wait = confirmation({B: field(9)})
    wait.saw(seen({}, asked_s=99.9))
    wait.saw(seen({B: field(9)}, asked_s=99.9, silent=frozenset({B})))
    assert not wait.is_done
    wait.saw(seen({}))
    assert wait.is_done, "others found it silent and took it off a complete registry"


def test_absence_from_a_registry_that_is_not_complete_means_nothing() -> None:
    wait = confirmation({B: field(9)})
    wait.saw(seen({}, complete=False))
    assert not wait.is_done


def test_a_young_registry_is_waited_for_and_then_all_in_it() -> None:
    wait = confirmation({}, complete=False)
    assert not wait.is_done
    wait.saw(seen({B: field(10)}, complete=False))
    assert not wait.is_done
    wait.saw(seen({B: field(10), C: field(9)}))
    assert not wait.is_done
    wait.heard(C, field(10))
    assert wait.is_done


def test_another_log_means_to_append_again() -> None:
    for place in (
        ENTRY._replace(generation=b"begun-11", position=50),
        ENTRY._replace(identity=b"node-two"),
        ENTRY._replace(position=9),
    ):
        wait = confirmation({B: field(9)})
        wait.saw(seen({B: field(50, place=place)}, place=place))
        assert wait.has_moved
        assert not wait.is_done


# Watching.


def test_a_field_that_stands_still_for_a_lease_and_a_tenth_is_silent() -> None:
    watch = Watch(TERMS)
    look = answer({B: field(9), C: field(9, b"c1")})
    watch.saw(look, asked_s=99.9, now_s=100.0)
    assert not watch.saw(look, asked_s=101.05, now_s=101.2).silent, "counted from arrival to sending"
    look = answer({B: field(9), C: field(9, b"c2")})
    assert watch.saw(look, asked_s=101.15, now_s=101.2).silent == {B}
    look = answer({B: field(9, b"b2"), C: field(9, b"c2")})
    assert not watch.saw(look, asked_s=101.3, now_s=101.4).silent, "it joined again"


def test_a_replica_that_was_away_is_watched_anew() -> None:
    watch = Watch(TERMS)
    look = answer({B: field(9)})
    watch.saw(look, asked_s=100.0, now_s=100.0)
    watch.saw(answer({}), asked_s=100.5, now_s=100.5)
    assert not watch.saw(look, asked_s=101.5, now_s=101.5).silent


def test_a_registry_is_complete_once_watched_for_a_lease_and_a_tenth() -> None:
    watch = Watch(TERMS)
    young = answer({}, complete=False)
    assert not watch.saw(young, asked_s=100.0, now_s=100.1).complete
    assert not watch.saw(young, asked_s=101.1, now_s=101.2).complete
    assert watch.complete == b""
    assert watch.saw(young, asked_s=101.3, now_s=101.4).complete
    assert watch.complete == INCARNATION + NODE


def test_another_incarnation_or_node_is_watched_anew() -> None:
    for other in (
        answer({}, complete=False, incarnation=b"another."),
        answer({}, complete=False, place=ENTRY._replace(identity=b"node-two")),
    ):
        watch = Watch(TERMS)
        young = answer({}, complete=False)
        watch.saw(young, asked_s=100.0, now_s=100.0)
        assert watch.saw(young, asked_s=101.5, now_s=101.5).complete
        assert not watch.saw(other, asked_s=101.6, now_s=101.6).complete
        assert watch.complete == b""
        assert not watch.saw(young, asked_s=101.7, now_s=101.7).complete, "it went away in between"


def test_a_registry_that_is_not_there_is_never_complete() -> None:
    watch = Watch(TERMS)
    none = answer({}, complete=False, incarnation=b"")
    watch.saw(none, asked_s=100.0, now_s=100.0)
    assert not watch.saw(none, asked_s=105.0, now_s=105.0).complete


def test_what_another_replica_found_complete_is_complete_for_all() -> None:
    assert Watch(TERMS).saw(answer({}), asked_s=100.0, now_s=100.0).complete
    stale = Answer(ENTRY._replace(identity=b"node-two"), Registry(INCARNATION, INCARNATION + NODE, {}))
    assert not Watch(TERMS).saw(stale, asked_s=100.0, now_s=100.0).complete
