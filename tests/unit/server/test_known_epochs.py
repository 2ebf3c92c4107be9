"""How long epochs are known to live."""

from __future__ import annotations

import pytest

from coherd_server.core.store import EpochRead
from coherd_server.redis import epochs
from coherd_server.redis.epochs import EXTRA_MS, KnownEpochs, lifetime_to_ask_ms


def test_an_epoch_is_known_until_its_time_and_no_longer() -> None:
    known = KnownEpochs()
    first, second = EpochRead(b"12345678", b"node"), EpochRead(b"87654321", b"node")
    assert known.of("t", 0) is None
    known.note("t", first, 1_000)
    assert known.of("t", 1_000) == first
    assert known.of("t", 1_001) is None
    known.note("t", second, 500)
    assert known.of("t", 500) == second
    assert known.of("t", 501) is None, "the latest counts, not the longest"
    known.forget("t")
    assert known.of("t", 0) is None
    known.forget("t")


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "MOST_TAGS", 3)
    known = KnownEpochs()
    for tag in "abcad":
        known.note(tag, EpochRead(tag.encode(), b"node"), 10)
    assert [tag for tag in "abcd" if known.of(tag, 10)] == ["a", "c", "d"]


def test_a_mint_asks_for_more_than_is_needed_and_at_most_twice() -> None:
    assert lifetime_to_ask_ms(1) == 2
    assert lifetime_to_ask_ms(EXTRA_MS) == 2 * EXTRA_MS
    assert lifetime_to_ask_ms(7 * EXTRA_MS) == 8 * EXTRA_MS
