"""What Protobuf's wire does to a value that is written as one type of field and read as another. Pure.

The wire carries a field's number and how its bytes are grouped, no type: whoever reads takes them for what its own
declaration says (https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from google.protobuf.descriptor import FieldDescriptor as Field

TYPE_NAMES: Final = {
    getattr(Field, name): name.removeprefix("TYPE_").lower()
    for name in (
        *("TYPE_DOUBLE", "TYPE_FLOAT", "TYPE_INT64", "TYPE_UINT64", "TYPE_INT32", "TYPE_FIXED64", "TYPE_FIXED32"),
        *("TYPE_BOOL", "TYPE_STRING", "TYPE_GROUP", "TYPE_MESSAGE", "TYPE_BYTES", "TYPE_UINT32", "TYPE_ENUM"),
        *("TYPE_SFIXED32", "TYPE_SFIXED64", "TYPE_SINT32", "TYPE_SINT64"),
    )
}
_INT32: Final = range(-(2**31), 2**31)
_VARINTS: Final = {
    Field.TYPE_INT32: _INT32,
    Field.TYPE_INT64: range(-(2**63), 2**63),
    Field.TYPE_UINT32: range(2**32),
    Field.TYPE_UINT64: range(2**64),
    Field.TYPE_BOOL: range(2),
    Field.TYPE_ENUM: _INT32,
}
"""Types whose values are plain varints, and which there are: what is in the range of both is read as it was written."""
_WIDENED: Final = {(Field.TYPE_SINT32, Field.TYPE_SINT64), (Field.TYPE_STRING, Field.TYPE_BYTES)}


def type_text(field: Field) -> str:
    """``int64``, ``repeated string``, ``map<string, int32>``, or the full name of a message or enum."""
    if field.message_type is not None and is_map(field):
        key, value = (field.message_type.fields_by_number[number] for number in (1, 2))
        return f"map<{type_text(key)}, {type_text(value)}>"
    name = TYPE_NAMES[field.type]
    if field.message_type is not None:
        name = field.message_type.full_name + (" (delimited)" if field.type == Field.TYPE_GROUP else "")
    elif field.enum_type is not None:
        name = field.enum_type.full_name
    return f"repeated {name}" if field.is_repeated else name


def is_map(field: Field) -> bool:
    """Whether it is a map: on the wire a repeated message of key and value."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def keeps_values(written: Field, read: Field) -> bool:
    """Whether each single value that can be written as one field is the same when it is read as the other.

    Repeated fields are asked about for their items; of two messages or groups only the way they are written counts.
    """
    if written.type == read.type and written.type != Field.TYPE_ENUM:
        return True
    if written.type in _VARINTS and read.type in _VARINTS:
        return _holds_all(_numbers(written), _numbers(read))
    return (written.type, read.type) in _WIDENED


def _numbers(field: Field) -> range | frozenset[int]:
    if field.enum_type is not None and field.enum_type.is_closed:
        return frozenset(field.enum_type.values_by_number)
    return _VARINTS[field.type]


def _holds_all(some: range | frozenset[int], all_: Container[int]) -> bool:
    if isinstance(some, frozenset):
        return all(number in all_ for number in some)
    if isinstance(all_, range):
        return some[0] in all_ and some[-1] in all_
    return some.stop - some.start <= 2 and all(number in all_ for number in some)
