"""Keys are remembered by their identifiers: bounded, and never in place of a refusal or of another key."""

from __future__ import annotations

import datetime
import threading
from typing import Any

import pytest

import coherd.key
from coherd import Refusal
from coherd.domains import analytics, content

DAY = datetime.date(2025, 8, 6)


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> None:
    coherd.key._remembered.clear()


def test_the_same_identifiers_give_the_same_object() -> None:
    first = analytics.Daily(user="u1", date=DAY)
    assert analytics.Daily(user="u1", date=DAY) is first
    assert analytics.Daily(user="u1", date="20250806") == first
    assert analytics.Daily(user="u2", date=DAY) != first


def test_classes_with_equal_identifiers_have_keys_of_their_own() -> None:
    stats = analytics.MoodTrends(user="u1", range="30d")
    assert type(analytics.Daily(user="u1", date="20250806")) is analytics.Daily
    assert type(stats) is analytics.MoodTrends

    class Mine(analytics.Daily):
        __slots__ = ()

    assert type(Mine(user="u1", date="20250806")) is Mine
    assert type(analytics.Daily(user="u1", date="20250806")) is analytics.Daily


def test_keys_of_a_class_with_attributes_are_not_shared() -> None:
    class Marked(analytics.Daily):
        pass

    one: Any = Marked(user="u1", date="20250806")
    one.mark = "mine"
    assert not hasattr(Marked(user="u1", date="20250806"), "mark")


@pytest.mark.parametrize("wrong", [True, 30.0, [30], None, "030d", object()])
def test_what_is_refused_is_refused_whatever_is_remembered(wrong: Any) -> None:
    analytics.WritingStats(user="u1", days=30)
    analytics.WritingStats(user="u1", days=1)
    with pytest.raises(Refusal) as refused:
        analytics.WritingStats(user="u1", days=wrong)
    assert refused.value.field == "days"
    assert refused.value.__context__ is None, "it would show what is remembered"


def test_an_identifier_that_cannot_be_hashed_is_refused_by_name() -> None:
    wrong: Any = ["u1"]
    with pytest.raises(Refusal, match="'user' must be a string, not list"):
        analytics.Daily(user=wrong, date=DAY)


def test_a_text_of_a_subclass_is_the_key_of_its_text_and_not_held() -> None:
    class Name(str):
        __slots__ = ("session",)

    key = analytics.Daily(user=Name("u1"), date=DAY)
    assert key == "analytics:daily:user:u1:date:20250806"
    assert not coherd.key._remembered


def test_no_more_are_remembered_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coherd.key, "MAX_REMEMBERED", 100)
    for number in range(1_000):
        key = content.Topics(user=f"t{number}")
        assert key.user == f"t{number}"
        assert len(coherd.key._remembered) <= 100
    assert content.Topics(user="t999") is key


def test_threads_that_make_and_forget_keys_get_the_right_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coherd.key, "MAX_REMEMBERED", 10)
    made: list[int] = []

    def work(first: int) -> None:
        right = 0
        for number in range(first, first + 2_000):
            key = content.Topics(user=f"t{number % 40}")
            right += key == f"content:topics:user:t{number % 40}"
        made.append(right)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [2_000] * 4
