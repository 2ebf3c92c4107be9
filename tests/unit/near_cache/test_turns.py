"""Hits alone never keep the event loop from its turns for long [hits-give-turns]: the decision, without a loop."""

from __future__ import annotations

from collections.abc import Callable

from coherd._near.turns import LONGEST_S, Turns


class Loop:
    """An event loop that runs when it is told to."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], object]] = []
        self.asked = 0

    def call_soon(self, callback: Callable[[], object]) -> None:
        self.soon.append(callback)
        self.asked += 1

    def turn(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()


def test_hits_without_a_turn_are_held_back_within_the_bound_and_until_the_turn() -> None:
    loop = Loop()
    turns = Turns(loop.call_soon)
    now_s = 100.0
    while not turns.owed(now_s):
        now_s += LONGEST_S / 1_000
    assert now_s - 100.0 <= LONGEST_S
    assert turns.owed(now_s + 1.0), "still"
    loop.turn()
    assert not turns.owed(now_s + 1.0)


def test_the_bound_holds_from_turn_to_turn_whenever_hits_begin() -> None:
    for pause in (0.0, 0.1, 0.5, 0.9, 1.3, 7.0):
        loop = Loop()
        turns = Turns(loop.call_soon)
        now_s = last_turn_s = 0.0
        for _ in range(50):
            now_s += pause * LONGEST_S
            while not turns.owed(now_s):
                assert now_s - last_turn_s <= max(pause, 1.0) * LONGEST_S + 1e-9 or not loop.soon or pause > 0
                now_s += LONGEST_S / 100
            loop.turn()
            last_turn_s = now_s
        assert loop.asked <= 101


def test_a_loop_that_runs_by_itself_is_asked_rarely_and_never_waited_for() -> None:
    loop = Loop()
    turns = Turns(loop.call_soon)
    hits = 0
    now_s = 0.0
    while now_s < 1.0:  # a hit, then a turn, every 10 us
        assert not turns.owed(now_s)
        hits += 1
        loop.turn()
        now_s += 0.00001
    assert loop.asked <= 1.0 / (LONGEST_S / 2) + 1 < hits / 100
