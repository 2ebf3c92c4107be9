"""Arguments of `coherd invalidate`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherd.cli.selector_text import SelectorTextError, parse_selectors
from coherd.contract.keys import encode_value
from coherd.key import OpenKey
from coherd.selectors import Domain, NamedInvalidation, Resource, Tag, to_wire


def test_every_form_in_one_line() -> None:
    words = [
        "user=user123",
        "tag",
        "analytics/user:u%3A1",
        "tag",
        "date:20250806",
        "resource",
        "analytics:daily",
        "domain",
        "content",
    ]
    named, *rest = parse_selectors([*words, "key", "content:topics:user:u1"])
    assert isinstance(named, NamedInvalidation)
    assert (named.name, named.value) == ("user", "user123")
    assert rest == [
        Tag("user", "u:1", "analytics"),
        Tag("date", "20250806"),
        Resource("analytics", "daily"),
        Domain("content"),
        OpenKey.parse("content:topics:user:u1"),
    ]


def test_wire_form_of_a_named_invalidation() -> None:
    (selector,) = parse_selectors(["date=20250805"])
    assert to_wire(selector).named.name == "date"
    assert to_wire(selector).named.value == "20250805"


def test_values_may_hold_anything() -> None:
    (selector,) = parse_selectors(["user=a=b:c *"])
    assert isinstance(selector, NamedInvalidation)
    assert selector.value == "a=b:c *"


def test_any_value_of_a_tag() -> None:
    assert parse_selectors(["tag", "maintenance/date:*"]) == [Tag("date", "*", "maintenance")]


@given(st.text(min_size=1, max_size=50))
def test_a_tag_is_read_as_it_is_printed(value: str) -> None:
    try:
        encoded = encode_value(value)
    except ValueError:
        return
    assert parse_selectors(["tag", f"analytics/user:{encoded}"]) == [Tag("user", value, "analytics")]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "nothing to invalidate"),
        (["user123"], "selects nothing"),
        (["user="], "needs a value"),
        (["User=x"], "lower snake case"),
        (["=x"], "lower snake case"),
        (["tag"], "needs what it selects"),
        (["tag", "user"], "is no tag"),
        (["tag", "user:"], "is no tag"),
        (["tag", "/user:x"], "is no tag"),
        (["tag", "a/b/user:x"], "is no tag"),
        (["tag", "user:a:b"], "write 'a%3Ab'"),
        (["resource", "analytics"], "is no resource"),
        (["resource", "analytics:daily:user"], "is no resource"),
        (["domain", "Analytics"], "is no domain"),
        (["key", "analytics"], "keys explain"),
        (["user=u1", "domain"], "needs what it selects"),
    ],
)
def test_errors_say_how_to_write_it(words: list[str], says: str) -> None:
    with pytest.raises(SelectorTextError, match=says) as caught:
        parse_selectors(words)
    assert "\n" not in str(caught.value)
