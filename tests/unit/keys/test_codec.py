"""Values as payload bytes: JSON documents inside `coherd.v1.Json`, and messages."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import uuid
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coherd.codec import JSON, JSON_OBJECT, MessageCodec, ValueDecodeError, ValueEncodeError
from coherd.domains.celery.v1 import celery_pb2
from coherd.v1.values_pb2 import Json

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
strings = st.text(st.characters(exclude_categories=["Cs"]))
documents = st.recursive(
    scalars | strings, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=4)
)
TASKS = MessageCodec(celery_pb2.TaskMetrics)


@given(documents)
def test_json_comes_back_as_it_went(document: Any) -> None:
    assert JSON.decode(JSON.encode(document)) == document


@given(documents)
def test_payloads_are_messages_that_any_language_reads(document: Any) -> None:
    payload = JSON.encode(document)
    message = Json.FromString(payload)
    assert message.SerializeToString() == payload
    assert JSON.decode(Json(text=message.text).SerializeToString()) == document


@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 127, 128, 16_379, 16_380, 16_384, 2_097_152])
def test_every_length_of_the_length(size: int) -> None:
    text = "x" * size
    payload = JSON.encode(text)
    assert Json.FromString(payload).text == f'"{text}"'
    assert JSON.decode(payload) == text


@pytest.mark.parametrize("value", [0, "", {}, [], None, False, 0.0])
def test_falsy_values_are_values(value: Any) -> None:
    assert JSON.encode(value)
    assert JSON.decode(JSON.encode(value)) == value


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Channel(enum.StrEnum):
    WEB = "web"


class SafeText(str):
    __slots__ = ()


class Row(NamedTuple):
    secret: int


@dataclasses.dataclass
class Cart:
    secret: str = "secret"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (datetime.datetime(2025, 8, 6), "datetime"),
        (datetime.date(2025, 8, 6), "date"),
        (datetime.time(12), "time"),
        (datetime.timedelta(1), "timedelta"),
        (uuid.UUID(int=1), "UUID"),
        (decimal.Decimal("1.5"), "Decimal"),
        (Colour.RED, "Colour"),
        (Level.LOW, "Level"),
        (Channel.WEB, "Channel"),
        (SafeText("secret"), "SafeText"),
        (Cart(), "Cart"),
        (Row(1), "Row"),
        (collections.Counter("secret"), "Counter"),
        (b"secret", "bytes"),
        (bytearray(b"secret"), "bytearray"),
        (memoryview(b"secret"), "memoryview"),
        ({"secret"}, "set"),
        (1j, "complex"),
        (..., "ellipsis"),
        (object(), "object"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_values_of_other_types_are_refused_by_name_wherever_they_stand(value: Any, named: str) -> None:
    for document in (value, [None, value], {"a": ({"b": value},)}):
        with pytest.raises(
            ValueEncodeError, match=f"cannot be JSON: JSON has no {named}, it would come back"
        ) as refused:
            JSON.encode(document)
        assert "secret" not in str(refused.value)
        assert refused.value.__cause__ is None


NESTED: list[Any] = []
for _ in range(10_000):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2**64, "an integer is beyond 64 bits"),
        ({"n": [-(2**63) - 1]}, "an integer is beyond 64 bits"),
        (float("nan"), "a number is NaN or infinite"),
        ([1.5, {"a": float("inf")}], "a number is NaN or infinite"),
        ((None, float("-inf")), "a number is NaN or infinite"),
        ({5: 2}, "the keys of an object must be strings, one is of type int"),
        ({"a": {None: 2}}, "the keys of an object must be strings, one is of type NoneType"),
        ({Channel.WEB: 2}, "the keys of an object must be strings, one is of type Channel"),
        ("secret\ud800", "not valid Unicode"),
        ({"secret\ud800": 2}, "not valid Unicode"),
        (NESTED, "nested too deeply"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_what_json_would_change_is_refused_without_showing_it(value: Any, words: str) -> None:
    with pytest.raises(ValueEncodeError, match=words) as refused:
        JSON.encode(value)
    assert "secret" not in str(refused.value)


def test_tuples_are_lists() -> None:
    assert JSON.decode(JSON.encode((1, (2, {"a": ()})))) == [1, [2, {"a": []}]]


@given(st.lists(st.integers(-(10**40), 10**40) | st.text("0123456789.-", max_size=30)))
def test_integers_of_others_are_read_exactly(document: Any) -> None:
    payload = Json(text=json.dumps(document)).SerializeToString()
    assert JSON.decode(payload) == document


@pytest.mark.parametrize("text", ["1e999", "-1e999", "NaN", "[Infinity]", "1" * 5_000])
def test_numbers_that_no_number_holds_do_not_decode(text: str) -> None:
    with pytest.raises(ValueDecodeError):
        JSON.decode(Json(text=text).SerializeToString())


@pytest.mark.parametrize("value", [[1], "{}", 1, None, collections.OrderedDict(a=1)])
def test_objects_are_objects(value: Any) -> None:
    assert JSON_OBJECT.decode(JSON_OBJECT.encode({})) == {}
    with pytest.raises(ValueEncodeError, match=f"must be a dict, for a JSON object, not {type(value).__name__}"):
        JSON_OBJECT.encode(value)
    with pytest.raises(ValueDecodeError, match="not a JSON object"):
        JSON_OBJECT.decode(JSON.encode([] if isinstance(value, dict) else value))


@given(st.binary(max_size=40))
def test_garbage_is_a_decode_error_and_nothing_else(payload: bytes) -> None:
    for codec in (JSON, TASKS):
        for damaged in (payload, b"\x0a" + payload):
            try:
                codec.decode(damaged)
            except ValueDecodeError as error:
                assert error.__cause__ is None  # noqa: PT017 - any other error fails the test
                continue


@given(documents, st.data())
def test_truncated_payloads_are_a_decode_error(document: Any, data: st.DataObject) -> None:
    payload = JSON.encode(document)
    with pytest.raises(ValueDecodeError):
        JSON.decode(payload[: data.draw(st.integers(0, len(payload) - 1))])


def test_every_decode_gives_a_value_of_its_own() -> None:
    payload = JSON_OBJECT.encode({"list": []})
    JSON_OBJECT.decode(payload)["list"].append(1)
    assert JSON_OBJECT.decode(payload) == {"list": []}
    task = TASKS.encode(celery_pb2.TaskMetrics(worker="w"))
    TASKS.decode(task).worker = "other"
    assert TASKS.decode(task).worker == "w"


def test_messages() -> None:
    value = celery_pb2.TaskMetrics(task_name="t", runtime_ms=1.5)
    assert TASKS.decode(TASKS.encode(value)) == value
    assert TASKS.encode(celery_pb2.TaskMetrics()) == b""
    assert TASKS.type_name == "coherd.domains.celery.v1.TaskMetrics"
    for wrong in (celery_pb2.WorkerStatus(), {"task_name": "t"}, None):
        with pytest.raises(ValueEncodeError, match=r"must be a coherd\.domains\.celery\.v1\.TaskMetrics"):
            TASKS.encode(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueDecodeError):
        TASKS.decode(b"\xff")
