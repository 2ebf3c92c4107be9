"""The key grammar: build and parse are inverse, different keys never share a text, what is not canonical is refused."""

from __future__ import annotations

import datetime
import enum

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from coherd.contract import keys
from coherd.contract.keys import KeyParts, build_key, decode_value, encode_value, parse_key
from coherd.contract.reasons import Refusal
from coherd.v1.errors_pb2 import ErrorReason

HOSTILE = [*':%*?[]{}\\ \t\r\n\x00\x1f\x7f\x80\x9f\xa0/=&aA0-_.~"', "é", "e\u0301", "日", "👩\u200d🚀", "%3A", "%3a"]

names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
values = st.lists(
    st.one_of(st.sampled_from(HOSTILE), st.characters(exclude_categories=["Cs"])), min_size=1, max_size=12
)
texts = values.map("".join)
identifiers = st.dictionaries(names, texts, max_size=3).map(lambda found: tuple(found.items()))
parts = st.builds(KeyParts, names, names, identifiers, st.none() | texts)


def built(key: KeyParts) -> str:
    """The key's text; an example whose key is too long counts for nothing."""
    try:
        return build_key(*key)
    except Refusal:
        reject()


def parsed(text: str) -> KeyParts | Refusal:
    """The parts, or why there are none."""
    try:
        return parse_key(text)
    except Refusal as refusal:
        return refusal


@given(parts)
def test_parse_is_the_inverse_of_build(key: KeyParts) -> None:
    text = built(key)
    assert parse_key(text) == key
    assert len(text.encode()) <= keys.MAX_KEY_BYTES


@given(parts, parts)
def test_different_keys_have_different_texts(one: KeyParts, other: KeyParts) -> None:
    assert (built(one) == built(other)) == (one == other)


@given(st.lists(st.sampled_from(["a", "b", ":", "%", "%3A", "%25"]), min_size=1, max_size=6).map("".join))
def test_no_value_reaches_over_its_place(value: str) -> None:
    pairs = [(("x", value), ("y", "1")), (("x", value + ":y:1"),), (("x", value + "%3Ay%3A1"),)]
    assert len({build_key("d", "r", pair) for pair in pairs}) == len(pairs)


@given(texts)
def test_encoding_leaves_nothing_a_store_or_the_grammar_understands(value: str) -> None:
    encoded = encode_value(value)
    assert not set(encoded) & set(":*?[]{}\\ \t\r\n\x00\x7f\x85")
    assert decode_value(encoded) == value


@given(st.text(max_size=20) | st.tuples(names, names, names, st.text(max_size=8)).map(":".join))
def test_text_is_refused_or_is_what_building_writes(text: str) -> None:
    found = parsed(text)
    if isinstance(found, Refusal):
        assert found.reason == ErrorReason.ERROR_REASON_KEY_INVALID
    else:
        assert build_key(*found) == text


@given(names, st.data())
def test_a_changed_text_is_another_key_or_refused(name: str, data: st.DataObject) -> None:
    text = f"domain:resource:{name}:{encode_value('x%:y')}"
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.sampled_from([*HOSTILE, ""])) + text[at + 1 :]
    found = parsed(changed)
    if isinstance(found, Refusal):
        assert found.reason == ErrorReason.ERROR_REASON_KEY_INVALID
    else:
        assert build_key(*found) == changed


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (
            ("analytics", "daily", [("user", "user123"), ("date", "20250806")]),
            "analytics:daily:user:user123:date:20250806",
        ),
        (
            ("psychology", "insights", [("user", "user123"), ("type", "emotional")]),
            "psychology:insights:user:user123:type:emotional",
        ),
        (("crisis", "assessment", [("hash", "abc12345")]), "crisis:assessment:hash:abc12345"),
        (("maintenance", "system_health", []), "maintenance:system_health"),
        (("session", "data", [("id", "session789")]), "session:data:id:session789"),
        (
            ("ai_model", "instance", [("name", "bert"), ("version", "latest")]),
            "ai_model:instance:name:bert:version:latest",
        ),
        (("ai_model", "prompt", [("hash", "xyz789"), ("model", "gpt4")]), "ai_model:prompt:hash:xyz789:model:gpt4"),
        (("celery", "task_metrics", [("id", "task123")]), "celery:task_metrics:id:task123"),
        (("celery", "worker_status", [("name", "worker1")]), "celery:worker_status:name:worker1"),
    ],
)
def test_the_keys_of_the_specification(key: tuple[str, str, list[tuple[str, str]]], text: str) -> None:
    assert build_key(*key) == text
    assert parse_key(text) == KeyParts(key[0], key[1], tuple(key[2]))


@pytest.mark.parametrize(
    ("value", "encoded"), [("a:b", "a%3Ab"), ("%", "%25"), ("a b", "a%20b"), ("é", "é"), ("\x85", "%C2%85")]
)
def test_encoding_is_upper_case_hex_of_utf8(value: str, encoded: str) -> None:
    assert encode_value(value) == encoded


@pytest.mark.parametrize("value", ["", "a\ud800", "\udfff", "é\ud800", "x" * 513])
def test_values_that_cannot_be_written_are_refused(value: str) -> None:
    with pytest.raises(Refusal) as refused:
        encode_value(value, name="user")
    assert refused.value.reason == ErrorReason.ERROR_REASON_IDENTIFIER_INVALID
    assert refused.value.field == "user"


@pytest.mark.parametrize(
    ("domain", "resource", "pairs"),
    [
        ("Analytics", "daily", []),
        ("", "daily", []),
        ("analytics", "9daily", []),
        ("analytics", "d" * 65, []),
        ("analytics", "daily", [("User", "a")]),
        ("analytics", "daily", [("user", "a"), ("user", "b")]),
        ("analytics", "daily", [("user:x", "a")]),
        ("análytics", "daily", []),
        ("analytics\n", "daily", []),
    ],
)
def test_names_that_are_none_are_refused(domain: str, resource: str, pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(Refusal):
        build_key(domain, resource, pairs)


def test_the_longest_key_is_512_bytes_of_utf8_not_characters() -> None:
    room = keys.MAX_KEY_BYTES - len("d:r:x:")
    assert len(build_key("d", "r", [("x", "a" * room)])) == 512
    for longer in ("a" * (room + 1), "é" * (room // 2 + 1), ":" * (room // 3 + 1)):
        with pytest.raises(Refusal, match="512 bytes"):
            build_key("d", "r", [("x", longer)])


class Colour(str, enum.Enum):  # noqa: UP042 - the older kind, whose format was not its text
    """An enum whose `format` is not its text."""

    RED = "re:d"

    def __format__(self, spec: str) -> str:
        return "other"

    def __str__(self) -> str:
        return "other"


def test_a_subclass_of_str_counts_as_its_plain_text() -> None:
    assert keys.string_part(Colour.RED, "colour") == "re%3Ad"
    assert type(keys.string_text(Colour.RED, "colour")) is str
    assert type(encode_value(Colour.RED)) is str


class Level(int, enum.Enum):
    """An enum of integers whose text is not its number."""

    HIGH = 3

    def __str__(self) -> str:
        return "other"

    def __format__(self, spec: str) -> str:
        return "other"


@pytest.mark.parametrize(("value", "text"), [(30, "30d"), ("30d", "30d"), (0, "0d"), (Level.HIGH, "3d"), (99, "99d")])
def test_integers_as_number_or_canonical_text(value: object, text: str) -> None:
    assert keys.int_text(value, "days", 0, 99, "d") == text
    assert keys.int_part(value, "days", 0, 99, "d") == text


@pytest.mark.parametrize(
    "value", [True, False, 1.0, None, b"1", -1, 100, "30", "030d", "+3d", "-0d", "3 d", "٣d", "", "d"]
)
def test_what_is_no_integer_of_the_range_is_refused(value: object) -> None:
    for function in (keys.int_text, keys.int_part):
        with pytest.raises(Refusal, match="'days'"):
            function(value, "days", 0, 99, "d")


@pytest.mark.parametrize("value", [datetime.date(2025, 8, 6), "20250806"])
def test_dates_as_date_or_text(value: object) -> None:
    assert keys.date_text(value, "date") == "20250806"


@given(st.dates())
def test_every_day_there_is_has_a_text_of_eight_digits(day: datetime.date) -> None:
    text = keys.date_text(day, "date")
    assert len(text) == 8
    assert datetime.date.fromisoformat(text) == day
    assert keys.date_text(text, "date") == text


@pytest.mark.parametrize(
    "value",
    [
        datetime.datetime(2025, 8, 6),
        "20250230",
        "2025-08-06",
        "",
        "today",
        20250806,
        None,
        "2025080",
        "00000101",
        "\uff12\uff10\uff12\uff15\uff10\uff18\uff10\uff16",
    ],
)
def test_what_is_no_day_is_refused(value: object) -> None:
    with pytest.raises(Refusal, match="'date'"):
        keys.date_text(value, "date")


@pytest.mark.parametrize("value", [1, 0, None, "True", "1", ""])
def test_only_bools_are_bools(value: object) -> None:
    with pytest.raises(Refusal, match="'flag'"):
        keys.bool_text(value, "flag")


def test_enums_by_number_or_text() -> None:
    by_number = {1: "web", 2: "app"}
    assert [keys.enum_part(value, "channel", by_number) for value in (1, "web", 2, "app")] == [
        "web",
        "web",
        "app",
        "app",
    ]
    for wrong in (0, 3, True, "WEB", "", None, 1.0):
        with pytest.raises(Refusal, match="'channel'"):
            keys.enum_part(wrong, "channel", by_number)


@pytest.mark.parametrize("value", ["a", "a-b", "é", "a:b", "x" * 512])
def test_the_short_way_writes_what_the_long_way_writes(value: str) -> None:
    assert keys.string_part(value, "x") == encode_value(keys.string_text(value, "x"), name="x")


@pytest.mark.parametrize("value", ["", None, 5, b"a", "\ud800", "x" * 513, True])
def test_the_short_way_refuses_what_the_long_way_refuses(value: object) -> None:
    with pytest.raises(Refusal, match="'x'"):
        keys.string_part(value, "x")


def test_a_refusal_names_no_value() -> None:
    secret = "s3cret"
    attempts = [
        lambda: keys.date_text(secret, "date"),
        lambda: keys.int_part(secret, "days", 0, 9),
        lambda: parse_key(f"a:b:c:{secret} x"),
        lambda: keys.enum_part(secret, "e", {1: "a"}),
        lambda: encode_value(secret + "\ud800"),
    ]
    for attempt in attempts:
        with pytest.raises(Refusal) as refused:
            attempt()
        assert secret not in str(refused.value)
