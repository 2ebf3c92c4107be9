"""Read the identifiers of a resource from its key message."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from coherd.catalog import options
from coherd.catalog.declared import IdentifierSpec, Kind
from coherd.catalog.source_files import SourceFiles
from coherd.contract.keys import is_name
from coherd.v1 import annotations_pb2

_Field = FieldDescriptorProto
_INTEGERS: Final[dict[int, tuple[str, int, int]]] = {
    _Field.TYPE_INT32: ("int32", -(2**31), 2**31 - 1),
    _Field.TYPE_SINT32: ("sint32", -(2**31), 2**31 - 1),
    _Field.TYPE_SFIXED32: ("sfixed32", -(2**31), 2**31 - 1),
    _Field.TYPE_UINT32: ("uint32", 0, 2**32 - 1),
    _Field.TYPE_FIXED32: ("fixed32", 0, 2**32 - 1),
    _Field.TYPE_INT64: ("int64", -(2**63), 2**63 - 1),
    _Field.TYPE_SINT64: ("sint64", -(2**63), 2**63 - 1),
    _Field.TYPE_SFIXED64: ("sfixed64", -(2**63), 2**63 - 1),
    _Field.TYPE_UINT64: ("uint64", 0, 2**64 - 1),
    _Field.TYPE_FIXED64: ("fixed64", 0, 2**64 - 1),
}


def read_identifiers(source: SourceFiles, key_type: str) -> tuple[IdentifierSpec, ...]:
    """The identifiers of a key message, in order."""
    message, file, path = source.messages[key_type]
    identifiers: list[IdentifierSpec] = []
    for index, declared in enumerate(message.field):
        documentation = source.comment(file, (*path, 2, index))
        spec = _identifier(source, f"{file.name}: {message.name}.{declared.name}", declared, documentation)
        if spec is not None:
            identifiers.append(spec)
    return tuple(identifiers)


def _identifier(
    source: SourceFiles, where: str, declared: FieldDescriptorProto, documentation: str
) -> IdentifierSpec | None:
    option = options.identifier_of(declared)
    source.refuse_unknown(declared.options, where)
    if not is_name(declared.name):
        source.problems.append(f"{where}: an identifier is named in lower snake case, 1..64 characters")
        return None
    if declared.label == _Field.LABEL_REPEATED or declared.HasField("oneof_index"):
        source.problems.append(f"{where}: an identifier is a plain field, not repeated, optional or in a oneof")
        return None
    is_date = option.format == annotations_pb2.DATE
    if is_date and declared.type != _Field.TYPE_STRING:
        source.problems.append(f"{where}: format DATE needs a string field")
    if option.unit and (declared.type not in _INTEGERS or not re.fullmatch("[a-z]{1,8}", option.unit)):
        source.problems.append(f"{where}: a unit is 1..8 lower-case letters behind an integer")
    common = IdentifierSpec(declared.name, Kind.STRING, "string", personal=option.personal, documentation=documentation)
    if is_date:
        return replace(common, kind=Kind.DATE, type_name="date")
    if declared.type == _Field.TYPE_STRING:
        return common
    if declared.type == _Field.TYPE_BOOL:
        return replace(common, kind=Kind.BOOL, type_name="bool")
    if declared.type in _INTEGERS:
        type_name, low, high = _INTEGERS[declared.type]
        return replace(common, kind=Kind.INTEGER, type_name=type_name, low=low, high=high, unit=option.unit)
    if declared.type == _Field.TYPE_ENUM:
        if declared.type_name not in source.enums:
            source.refuse_relative(where, declared.type_name)
            return None
        texts = _enum_texts(source, where, declared)
        return replace(common, kind=Kind.ENUM, type_name=declared.type_name.lstrip("."), texts=texts)
    source.problems.append(f"{where}: an identifier is a string, bool, integer, enum or date")
    return None


def _enum_texts(source: SourceFiles, where: str, declared: FieldDescriptorProto) -> tuple[tuple[int, str], ...]:
    enum = source.enums[declared.type_name]
    prefix = snake_case(enum.name).upper() + "_"
    texts: dict[int, str] = {}
    default = declared.default_value or enum.value[0].name
    for value in enum.value:
        text = value.name.removeprefix(prefix).lower()
        if value.number == 0 and text in ("unspecified", "unknown"):
            continue
        if not text:
            source.problems.append(f"{where}: enum {enum.name} has a value whose key text would be empty")
        if value.number in texts or text in texts.values():
            source.problems.append(f"{where}: enum {enum.name} has two values for one key text or number")
        texts[value.number] = text
        if value.name == default and source.pool.FindEnumTypeByName(declared.type_name.lstrip(".")).is_closed:
            source.problems.append(
                f"{where}: enum {enum.name} is closed (proto2): a value it does not know would be read as {default}"
            )
    if not texts:
        source.problems.append(f"{where}: enum {enum.name} has no value that can stand in a key")
    return tuple(texts.items())


def snake_case(name: str) -> str:
    """``MoodTrends`` -> ``mood_trends``, ``AIModel`` -> ``ai_model``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
