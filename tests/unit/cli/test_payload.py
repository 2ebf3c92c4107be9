"""Values between JSON and payload bytes."""

from __future__ import annotations

import pytest

from coherd.cli.payload import ValueTypes
from coherd.codec import ValueDecodeError, ValueEncodeError
from coherd.contract.catalog_load import load_catalog
from coherd.contract.declared import JSON_TYPE
from coherd.contract.descriptor_sets import Source
from coherd.domains.celery.v1.celery_pb2 import TaskMetrics
from coherd.v1.values_pb2 import Json
from rig.shop_catalog import shop_set

TASK = "coherd.domains.celery.v1.TaskMetrics"


@pytest.mark.parametrize("text", ["0", '""', "null", "[]", '{"a": {"b": [1, 2.5, "é"]}}', str(2**70)])
def test_json_documents(text: str) -> None:
    types = ValueTypes()
    payload = types.to_payload(JSON_TYPE, f" {text}\n")
    assert Json.FromString(payload).text == text
    assert types.to_payload(JSON_TYPE, Json.FromString(payload).text) == payload


def test_big_integers_stay_exact() -> None:
    assert ValueTypes().to_document(JSON_TYPE, Json(text=str(2**70)).SerializeToString()) == 2**70


def test_builtin_messages() -> None:
    types = ValueTypes()
    payload = types.to_payload(TASK, '{"task_name": "t", "retries": 2, "finished_at": "2025-08-06T10:00:00Z"}')
    assert TaskMetrics.FromString(payload).retries == 2
    document = types.to_document(TASK, payload)
    assert document == {"task_name": "t", "retries": 2, "finished_at": "2025-08-06T10:00:00Z"}


def test_messages_of_a_catalog_file() -> None:
    types = ValueTypes(load_catalog([Source("shop", shop_set())]))
    payload = types.to_payload("shop.v1.Product", '{"title": "Tea", "cents": "499"}')
    assert types.to_document("shop.v1.Product", payload) == {"title": "Tea", "cents": "499"}


def test_unknown_messages_are_base64() -> None:
    assert ValueTypes().to_document("x.Y", b"\x01\x02") == {"@type": "x.Y", "base64": "AQI="}
    with pytest.raises(ValueEncodeError, match=r"--catalog FILE\.binpb"):
        ValueTypes().to_payload("x.Y", "{}")


@pytest.mark.parametrize(
    ("type_name", "text"),
    [
        (JSON_TYPE, ""),
        (JSON_TYPE, "{"),
        (JSON_TYPE, "NaN"),
        (JSON_TYPE, "{} {}"),
        (JSON_TYPE, "[" * 5_000 + "]" * 5_000),
        (TASK, "[]"),
        (TASK, "7"),
        (TASK, '{"nope": 1}'),
        (TASK, '{"retries": -1}'),
        (TASK, '{"finished_at": "yesterday"}'),
    ],
)
def test_text_that_is_no_value_is_one_clear_line(type_name: str, text: str) -> None:
    with pytest.raises(ValueEncodeError) as caught:
        ValueTypes().to_payload(type_name, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("type_name", "payload"), [(JSON_TYPE, b"\xff"), (JSON_TYPE, b""), (JSON_TYPE, b"\n\x01{"), (TASK, b"\xff\xff")]
)
def test_bytes_that_are_no_value(type_name: str, payload: bytes) -> None:
    with pytest.raises(ValueDecodeError):
        ValueTypes().to_document(type_name, payload)


def test_deeply_nested_documents_do_not_crash() -> None:
    payload = Json(text="[" * 100_000 + "]" * 100_000).SerializeToString()
    with pytest.raises(ValueDecodeError):
        ValueTypes().to_document(JSON_TYPE, payload)
