"""What a caller invalidates, and how it travels."""

from __future__ import annotations

import datetime
import pickle
from typing import Any

import pytest

from coherd.contract.reasons import Refusal
from coherd.domains import analytics
from coherd.domains.tags import Content, Date, User
from coherd.selectors import Domain, NamedInvalidation, Resource, Selector, Tag, to_wire
from coherd.v1 import keys_pb2


@pytest.mark.parametrize(
    ("selector", "wire"),
    [
        (User("u:1"), {"named": {"name": "user", "value": "u:1"}}),
        (Content("c"), {"named": {"name": "content", "value": "c"}}),
        (Date(datetime.date(2025, 8, 6)), {"named": {"name": "date", "value": "20250806"}}),
        (Tag("user", "u"), {"tag": {"identifier": "user", "value": "u"}}),
        (Tag("date", "*", "maintenance"), {"tag": {"identifier": "date", "value": "*", "domain": "maintenance"}}),
        (Resource.of(analytics.Daily), {"resource": {"domain": "analytics", "resource": "daily"}}),
        (Domain("celery"), {"domain": {"domain": "celery"}}),
        (analytics.ContentEngagement(content="c"), {"key": {"text": "analytics:content_engagement:content:c"}}),
    ],
)
def test_wire_forms(selector: Selector, wire: dict[str, Any]) -> None:
    assert to_wire(selector) == keys_pb2.Selector(**wire)


@pytest.mark.parametrize("thing", ["analytics:daily:user:u:date:20250806", None, 5, User])
def test_what_is_no_selector(thing: Any) -> None:
    with pytest.raises(TypeError, match="not a selector"):
        to_wire(thing)


@pytest.mark.parametrize("value", ["", None, 5, "\ud800", "é\udfff", "x" * 513])
def test_values_are_checked_where_the_selector_is_made(value: Any) -> None:
    with pytest.raises(Refusal):
        User(value)


@pytest.mark.parametrize("value", ["20250230", "2025-08-06", datetime.datetime(2025, 8, 6), None])
def test_days_are_checked_where_the_selector_is_made(value: Any) -> None:
    with pytest.raises(Refusal):
        Date(value)


def test_named_invalidations_compare_by_kind_and_value() -> None:
    assert User("a") == User("a")
    assert User("a") != User("b")
    assert User("a") != Content("a")
    assert User("a") != "a"
    assert Date("20250806") == Date(datetime.date(2025, 8, 6))
    assert len({User("a"), User("a"), Content("a")}) == 2
    assert repr(User("a")) == "User('a')"
    again = pickle.loads(pickle.dumps(User("a")))
    assert (type(again), again) == (User, User("a"))
    assert isinstance(again, NamedInvalidation)
