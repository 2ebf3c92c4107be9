"""A small catalog of a team's own, as a compiled descriptor set: ``shop:product`` with a message as its value."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

from coherd.catalog.load import builtin_catalog
from coherd.v1 import annotations_pb2

_Field = FieldDescriptorProto
_STRING = _Field.TYPE_STRING
_OPTIONAL = _Field.LABEL_OPTIONAL


def shop_set(
    *, identifier: str = "sku", ttl_s: int = 60, cents: int = 2, cents_type: _Field.Type.ValueType = _Field.TYPE_INT64
) -> bytes:
    """The descriptor set; other arguments make another version of it."""
    file = FileDescriptorProto(name="shop/v1/shop.proto", package="shop.v1", syntax="proto3")
    file.dependency.append("coherd/v1/annotations.proto")
    key = file.message_type.add(name="ProductKey")
    key.field.add(name=identifier, number=1, type=_STRING, label=_OPTIONAL)
    value = file.message_type.add(name="Product")
    value.field.add(name="title", number=1, type=_STRING, label=_OPTIONAL)
    value.field.add(name="cents", number=cents, type=cents_type, label=_OPTIONAL)
    service = file.service.add(name="ShopCache")
    domain = service.options.Extensions[annotations_pb2.domain]
    domain.name = "shop"
    domain.ttl.seconds = ttl_s
    service.method.add(name="Product", input_type=".shop.v1.ProductKey", output_type=".shop.v1.Product")
    files = builtin_catalog().files
    needed = ("google/protobuf/descriptor.proto", "google/protobuf/duration.proto", "coherd/v1/annotations.proto")
    return FileDescriptorSet(
        file=[*(FileDescriptorProto.FromString(files[name]) for name in needed), file]
    ).SerializeToString()
