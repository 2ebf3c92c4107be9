"""When a strict change is confirmed, and what is known of other members by watching. Pure: times are arguments."""

from __future__ import annotations

from coherd_server.core.near.change_log import Answer, Field, LogPosition, MemberTerms, Registry
from coherd_server.core.near.confirm import AckWait, MemberView, Seen
from coherd_server.core.near.terms import Terms

TERMS = Terms(lease_ms=1_000)
"""Over after 1.1 s."""
NODE, GENERATION, INCARNATION = b"node-one", b"begun-00", b"registry"
ENTRY = LogPosition(NODE, GENERATION, 10)
OWN, B, C = "a" * 32, "b" * 32, "c" * 32


def field(offset: int | None, beat: bytes = b"beat", position: LogPosition = ENTRY) -> Field:
    watermark = None if offset is None else position._replace(offset=offset)
    return Field(repr(watermark).encode() + beat, watermark)


def answer(
    fields: dict[str, Field], *, complete: bool = True, position: LogPosition = ENTRY, incarnation: bytes = INCARNATION
) -> Answer:
    return Answer(position, Registry(incarnation, incarnation + position.identity if complete else b"", fields))


def ack_wait(fields: dict[str, Field], *, complete: bool = True) -> AckWait:
    """Of `ENTRY`, appended at second 100; the own member has it already."""
    made = AckWait(answer(fields), own=OWN, complete=complete, now_s=100.0)
    made.own(ENTRY, ENTRY)
    return made


def seen(
    fields: dict[str, Field],
    *,
    asked_s: float = 100.5,
    complete: bool = True,
    silent: frozenset[str] = frozenset(),
    position: LogPosition = ENTRY,
) -> Seen:
    return Seen(position, asked_s, fields, complete, silent)


def test_done_at_once_where_all_have_it() -> None:
    assert ack_wait({OWN: field(3), B: field(10), C: field(11)}).is_done


def test_waits_for_each_member() -> None:
    wait = ack_wait({B: field(9), C: field(None)})
    assert not wait.is_done
    wait.heard(B, field(10))
    assert not wait.is_done
    wait.heard("unknown", field(10))
    wait.saw(seen({B: field(10), C: field(12)}))
    assert wait.is_done


def test_the_own_member_counts_by_what_it_knows_of_itself() -> None:
    wait = AckWait(answer({OWN: field(10)}), own=OWN, complete=True, now_s=100.0)
    assert not wait.is_done
    wait.own(ENTRY, ENTRY._replace(offset=9))
    assert not wait.is_done
    wait.own(ENTRY, ENTRY)
    assert wait.is_done


def test_a_process_that_never_joined_has_no_sessions() -> None:
    wait = AckWait(answer({}), own=OWN, complete=True, now_s=100.0)
    wait.own(None, None)
    assert wait.is_done


def test_watermarks_of_another_log_do_not_count() -> None:
    wait = ack_wait({B: field(9)})
    wait.heard(B, field(99, position=ENTRY._replace(generation=b"begun-11")))
    wait.heard(B, field(99, position=ENTRY._replace(identity=b"node-two")))
    assert not wait.is_done


def test_a_silent_member_is_not_waited_for() -> None:
    wait = ack_wait({B: field(9)})
    wait.saw(seen({B: field(9)}))
    assert not wait.is_done
    wait.saw(seen({B: field(9)}, silent=frozenset({B})))
    assert wait.is_done


def test_a_look_from_before_the_append_says_nothing() -> None:
    wait = ack_wait({B: field(9)})
    wait.saw(seen({}, asked_s=99.9))
    wait.saw(seen({B: field(9)}, asked_s=99.9, silent=frozenset({B})))
    assert not wait.is_done
    wait.saw(seen({}))
    assert wait.is_done, "others found it silent and took it off a complete registry"


def test_absence_from_a_registry_that_is_not_complete_means_nothing() -> None:
    wait = ack_wait({B: field(9)})
    wait.saw(seen({}, complete=False))
    assert not wait.is_done


def test_a_young_registry_is_waited_for_and_then_all_in_it() -> None:
    wait = ack_wait({}, complete=False)
    assert not wait.is_done
    wait.saw(seen({B: field(10)}, complete=False))
    assert not wait.is_done
    wait.saw(seen({B: field(10), C: field(9)}))
    assert not wait.is_done
    wait.heard(C, field(10))
    assert wait.is_done


def test_another_log_means_to_append_again() -> None:
    for position in (
        ENTRY._replace(generation=b"begun-11", offset=50),
        ENTRY._replace(identity=b"node-two"),
        ENTRY._replace(offset=9),
    ):
        wait = ack_wait({B: field(9)})
        wait.saw(seen({B: field(50, position=position)}, position=position))
        assert wait.has_moved
        assert not wait.is_done


# Watching.


def test_a_field_that_stands_still_for_a_lease_and_a_tenth_is_silent() -> None:
    view = MemberView(TERMS)
    look = answer({B: field(9), C: field(9, b"c1")})
    view.saw(look, asked_s=99.9, now_s=100.0)
    assert not view.saw(look, asked_s=101.05, now_s=101.2).silent, "counted from arrival to sending"
    look = answer({B: field(9), C: field(9, b"c2")})
    assert view.saw(look, asked_s=101.15, now_s=101.2).silent == {B}
    look = answer({B: field(9, b"b2"), C: field(9, b"c2")})
    assert not view.saw(look, asked_s=101.3, now_s=101.4).silent, "it joined again"


def test_a_member_with_a_longer_lease_is_silent_by_its_own() -> None:
    view = MemberView(TERMS)
    look = answer({B: field(9)._replace(terms=MemberTerms(10_000)), C: field(9)._replace(terms=MemberTerms(500))})
    view.saw(look, asked_s=99.9, now_s=100.0)
    assert view.saw(look, asked_s=101.2, now_s=101.3).silent == {C}, "by ours at least, also where its own is shorter"
    assert view.saw(look, asked_s=110.9, now_s=110.9).silent == {C}
    assert view.saw(look, asked_s=111.1, now_s=111.1).silent == {B, C}
    assert view.longest == Terms(lease_ms=10_000)


def test_a_registry_is_watched_for_the_longest_lease_that_was_ever_seen() -> None:
    view = MemberView(TERMS)
    view.saw(answer({B: field(9)._replace(terms=MemberTerms(10_000))}), asked_s=90.0, now_s=90.0)
    young = answer({}, complete=False, incarnation=b"another.")
    view.saw(young, asked_s=100.0, now_s=100.0)
    assert not view.saw(young, asked_s=110.9, now_s=110.9).complete
    assert view.saw(young, asked_s=111.1, now_s=111.1).complete


def test_a_member_that_was_away_is_watched_anew() -> None:
    view = MemberView(TERMS)
    look = answer({B: field(9)})
    view.saw(look, asked_s=100.0, now_s=100.0)
    view.saw(answer({}), asked_s=100.5, now_s=100.5)
    assert not view.saw(look, asked_s=101.5, now_s=101.5).silent


def test_a_registry_is_complete_once_watched_for_a_lease_and_a_tenth() -> None:
    view = MemberView(TERMS)
    young = answer({}, complete=False)
    assert not view.saw(young, asked_s=100.0, now_s=100.1).complete
    assert not view.saw(young, asked_s=101.1, now_s=101.2).complete
    assert view.complete == b""
    assert view.saw(young, asked_s=101.3, now_s=101.4).complete
    assert view.complete == INCARNATION + NODE


def test_another_incarnation_or_node_is_watched_anew() -> None:
    for other in (
        answer({}, complete=False, incarnation=b"another."),
        answer({}, complete=False, position=ENTRY._replace(identity=b"node-two")),
    ):
        view = MemberView(TERMS)
        young = answer({}, complete=False)
        view.saw(young, asked_s=100.0, now_s=100.0)
        assert view.saw(young, asked_s=101.5, now_s=101.5).complete
        assert not view.saw(other, asked_s=101.6, now_s=101.6).complete
        assert view.complete == b""
        assert not view.saw(young, asked_s=101.7, now_s=101.7).complete, "it went away in between"


def test_a_registry_that_is_not_there_is_never_complete() -> None:
    view = MemberView(TERMS)
    none = answer({}, complete=False, incarnation=b"")
    view.saw(none, asked_s=100.0, now_s=100.0)
    assert not view.saw(none, asked_s=105.0, now_s=105.0).complete


def test_what_another_member_found_complete_is_complete_for_all() -> None:
    assert MemberView(TERMS).saw(answer({}), asked_s=100.0, now_s=100.0).complete
    stale = Answer(ENTRY._replace(identity=b"node-two"), Registry(INCARNATION, INCARNATION + NODE, {}))
    assert not MemberView(TERMS).saw(stale, asked_s=100.0, now_s=100.0).complete
