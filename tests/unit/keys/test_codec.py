"""Values as payload bytes: JSON documents inside `coherd.v1.Json`, and messages."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

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


@pytest.mark.parametrize("value", [2**64, {"n": [-(2**70)]}, {1: 2}, {1, 2}, object(), "\ud800"])
def test_what_would_not_come_back_is_refused_without_showing_it(value: Any) -> None:
    with pytest.raises(ValueEncodeError) as caught:
        JSON.encode(value)
    assert "18446744073709551616" not in str(caught.value)


@pytest.mark.parametrize("value", [0, "", {}, [], None, False, 0.0])
def test_falsy_values_are_values(value: Any) -> None:
    assert JSON.encode(value)
    assert JSON.decode(JSON.encode(value)) == value


@pytest.mark.parametrize(
    ("value", "again"),
    [
        ((1, 2), [1, 2]),
        (float("nan"), None),
        (float("inf"), None),
        (datetime.date(2025, 8, 6), "2025-08-06"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_what_json_has_no_form_of(value: Any, again: Any) -> None:
    found = JSON.decode(JSON.encode(value))
    assert found == pytest.approx(again) if isinstance(again, int) else found == again


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}, {1: "a", "s": {3}}, "\ud800", [float("nan"), {4}]])
def test_what_cannot_be_json_is_refused_without_the_value(value: Any) -> None:
    with pytest.raises(ValueEncodeError) as refused:
        JSON.encode(value)
    assert repr(value) not in str(refused.value)


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
