"""Values between JSON and payload bytes."""

from __future__ import annotations

import json

import pytest
from google.protobuf import any_pb2, struct_pb2, wrappers_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import Message

from coherd.catalog.declared import JSON_TYPE
from coherd.catalog.descriptor_sets import Source, merge_sets
from coherd.cli.payload import ValueTypes
from coherd.codec import ValueDecodeError, ValueEncodeError
from coherd.domains.celery.v1.celery_pb2 import TaskMetrics
from coherd.v1.values_pb2 import Json
from rig.shop_catalog import shop_set

TASK = "coherd.domains.celery.v1.TaskMetrics"
ANY = "google.protobuf.Any"


def shop_types() -> ValueTypes:
    return ValueTypes(merge_sets([Source("shop", shop_set())]).files)


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
    types = shop_types()
    payload = types.to_payload("shop.v1.Product", '{"title": "Tea", "cents": "499"}')
    assert types.to_document("shop.v1.Product", payload) == {"title": "Tea", "cents": "499"}


def test_unknown_messages_are_base64() -> None:
    assert ValueTypes().to_document("x.Y", b"\x01\x02") == {"@type": "x.Y", "base64": "AQI="}
    with pytest.raises(ValueEncodeError, match=r"--catalog FILE\.binpb"):
        ValueTypes().to_payload("x.Y", "{}")


def test_an_any_holds_messages_of_the_catalog_file_and_of_this_side() -> None:
    types = shop_types()
    for text in (
        '{"@type": "type.googleapis.com/shop.v1.Product", "title": "Tea"}',
        f'{{"@type": "type.googleapis.com/{TASK}", "task_name": "t"}}',
        '{"@type": "type.googleapis.com/google.protobuf.Duration", "value": "3s"}',
        "{}",
    ):
        assert types.to_document(ANY, types.to_payload(ANY, text)) == json.loads(text)


def test_an_any_of_an_unknown_message_is_base64() -> None:
    payload = shop_types().to_payload(ANY, '{"@type": "type.googleapis.com/shop.v1.Product", "title": "x"}')
    shown = {"@type": "type.googleapis.com/shop.v1.Product", "base64": "CgF4"}
    assert ValueTypes().to_document(ANY, payload) == shown
    with pytest.raises(ValueEncodeError, match=r"type\.googleapis\.com/shop\.v1\.Product"):
        ValueTypes().to_payload(ANY, json.dumps(shown))


def test_an_unknown_message_deeper_inside_is_named() -> None:
    inner, outer = any_pb2.Any(type_url="type.googleapis.com/x.Y"), any_pb2.Any()
    outer.Pack(inner)
    with pytest.raises(ValueDecodeError, match=r"x\.Y.*--catalog FILE\.binpb, or --raw"):
        ValueTypes().to_document(ANY, outer.SerializeToString())
    broken = any_pb2.Any(type_url=f"type.googleapis.com/{TASK}", value=b"\xff")
    with pytest.raises(ValueDecodeError, match=r"not a google\.protobuf\.Any"):
        ValueTypes().to_document(ANY, broken.SerializeToString())


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (struct_pb2.Value, "[1.5, null]"),
        (struct_pb2.ListValue, '["a"]'),
        (struct_pb2.Struct, '{"a": true}'),
        (wrappers_pb2.StringValue, '"x"'),
        (wrappers_pb2.BoolValue, "false"),
    ],
)
def test_the_messages_of_protobuf_itself_are_known(kind: type[Message], text: str) -> None:
    name = kind.DESCRIPTOR.full_name
    payload = ValueTypes().to_payload(name, text)
    assert ValueTypes().to_document(name, payload) == json.loads(text)


def test_a_file_may_stand_in_place_of_the_builtin_catalog() -> None:
    file = FileDescriptorProto(name="own/analytics.proto", package="coherd.domains.celery.v1", syntax="proto3")
    file.message_type.add(name="TaskMetrics").field.add(name="own", number=1, type=9, label=1)
    payload = ValueTypes({file.name: file}).to_payload(TASK, '{"own": "x"}')
    assert payload == b"\n\x01x"


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
    ("type_name", "payload"),
    [
        (JSON_TYPE, b"\xff"),
        (JSON_TYPE, b""),
        (JSON_TYPE, b"\n\x01{"),
        (JSON_TYPE, b"\n\x03NaN"),
        (JSON_TYPE, b'\n\x0e{"a":Infinity}'),
        (JSON_TYPE, b"\n\x051e400"),
        (TASK, b"\xff\xff"),
    ],
)
def test_bytes_that_are_no_value(type_name: str, payload: bytes) -> None:
    with pytest.raises(ValueDecodeError):
        ValueTypes().to_document(type_name, payload)


def test_deeply_nested_documents_do_not_crash() -> None:
    payload = Json(text="[" * 100_000 + "]" * 100_000).SerializeToString()
    with pytest.raises(ValueDecodeError):
        ValueTypes().to_document(JSON_TYPE, payload)
