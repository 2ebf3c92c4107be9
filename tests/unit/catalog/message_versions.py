"""Two versions of a drawn message, and what Protobuf itself makes of bytes that one wrote and the other reads."""

from __future__ import annotations

from random import Random
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, EncodeError, Message

from coherd.catalog.field_types import is_map

F = FieldDescriptorProto
SCALARS = (
    *(F.TYPE_INT32, F.TYPE_INT64, F.TYPE_UINT32, F.TYPE_UINT64, F.TYPE_SINT32, F.TYPE_SINT64, F.TYPE_BOOL),
    *(F.TYPE_FIXED32, F.TYPE_FIXED64, F.TYPE_SFIXED32, F.TYPE_SFIXED64, F.TYPE_FLOAT, F.TYPE_DOUBLE),
    *(F.TYPE_STRING, F.TYPE_BYTES),
)
NAMES = ("amount", "currency", "count", "label", "parts", "kind", "note", "since")
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-1, -(2**31), 2**31 - 1, 0, 1, 2),
    FieldDescriptor.CPPTYPE_INT64: (-1, -(2**63), 2**63 - 1, 2**40, 0, 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 1, 2, 2**31, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 1, 2**40, 2**63, 2**64 - 1),
}


def drawn_file(draw: Random) -> FileDescriptorProto:
    """A file with a message ``Value`` that has fields of all kinds, ``Inner`` and itself among them."""
    file = FileDescriptorProto(name="v.proto", package="v", syntax=draw.choice(("proto2", "proto3")))
    enum = file.enum_type.add(name="Kind")
    for number, name in enumerate(("NONE", "RED", "BLUE")):
        enum.value.add(name=name, number=number)
    for name in ("Value", "Inner"):
        message = file.message_type.add(name=name)
        oneof = draw.random() < 0.5
        if oneof:
            message.oneof_decl.add(name="choice")
        for number, field_name in enumerate(draw.sample(NAMES, draw.randint(1, 5)), 1):
            field = message.field.add(name=field_name, number=number, label=F.LABEL_OPTIONAL)
            retype(file, message, field, draw)
            if oneof and field.label == F.LABEL_OPTIONAL and draw.random() < 0.4:
                field.oneof_index = 0
        _settle(message)
    return file


def retype(file: FileDescriptorProto, message: DescriptorProto, field: F, draw: Random) -> None:
    """Give a field another type and label."""
    field.ClearField("type_name")
    field.ClearField("default_value")
    kind = draw.random()
    if kind < 0.6:
        field.type = draw.choice(SCALARS)
    elif kind < 0.75:
        field.type, field.type_name = F.TYPE_ENUM, ".v.Kind"
    elif kind < 0.9 or field.HasField("oneof_index"):
        field.type, field.type_name = F.TYPE_MESSAGE, draw.choice((".v.Value", ".v.Inner"))
    else:
        entry = next((each for each in message.nested_type if each.name == f"{field.name.title()}Entry"), None)
        if entry is None:
            entry = message.nested_type.add(name=f"{field.name.title()}Entry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, type=F.TYPE_STRING, label=F.LABEL_OPTIONAL)
            entry.field.add(name="value", number=2, type=draw.choice(SCALARS), label=F.LABEL_OPTIONAL)
        field.type, field.type_name = F.TYPE_MESSAGE, f".v.{message.name}.{entry.name}"
        field.label = F.LABEL_REPEATED
        return
    if not field.HasField("oneof_index"):
        field.label = draw.choice((F.LABEL_OPTIONAL, F.LABEL_OPTIONAL, F.LABEL_REPEATED))
    if file.syntax == "proto2" and field.type == F.TYPE_INT32 and field.label == F.LABEL_OPTIONAL:
        field.default_value = str(draw.choice((0, 7)))


def mutated(old: FileDescriptorProto, draw: Random) -> FileDescriptorProto:
    """Another version: one or two things are changed."""
    file = FileDescriptorProto()
    file.CopyFrom(old)
    for _ in range(draw.randint(1, 2)):
        message = draw.choice(file.message_type)
        field = draw.choice(message.field)
        match draw.randrange(9):
            case 0:
                field.number = max(each.number for each in message.field) + 1
            case 1:
                other = draw.choice(message.field)
                field.number, other.number = other.number, field.number
            case 2:
                other = draw.choice(message.field)
                if not _in_maps(field, other):
                    field.name, other.name = other.name, field.name
            case 3 if not _in_maps(field):
                field.name = draw.choice([name for name in NAMES if name not in {each.name for each in message.field}])
            case 4 | 5:
                retype(file, message, field, draw)
            case 6 if len(message.field) > 1:
                message.field.remove(field)
            case 7:
                _mutate_enum(file, draw)
            case 8 if message.oneof_decl and field.label == F.LABEL_OPTIONAL:
                if field.HasField("oneof_index"):
                    field.ClearField("oneof_index")
                else:
                    field.oneof_index = 0
        _settle(message)
    return file


def _mutate_enum(file: FileDescriptorProto, draw: Random) -> None:
    values = file.enum_type[0].value
    value = draw.choice(values[1:])
    match draw.randrange(4):
        case 0:
            values.add(name=f"NEW{len(values)}", number=max(each.number for each in values) + 1)
        case 1 if len(values) > 2:
            values.remove(value)
        case 2:
            value.name = f"OTHER_{value.name}"
        case _:
            value.number = max(each.number for each in values) + 1


def _in_maps(*fields: F) -> bool:
    return any(field.type_name.endswith("Entry") for field in fields)


def _settle(message: DescriptorProto) -> None:
    """A message that links: no oneof without a field, no map entry without one."""
    if message.oneof_decl and not any(field.HasField("oneof_index") for field in message.field):
        message.ClearField("oneof_decl")
    used = {field.type_name.rpartition(".")[2] for field in message.field}
    for entry in [entry for entry in message.nested_type if entry.name not in used]:
        message.nested_type.remove(entry)


def linked(file: FileDescriptorProto) -> Descriptor:
    """The message ``Value`` of a file, in a pool of its own."""
    pool = DescriptorPool()
    pool.Add(file)
    return pool.FindMessageTypeByName("v.Value")


def drawn_value(descriptor: Descriptor, draw: Random, depth: int = 0) -> Message:
    """A value with some fields set, at the edges of their types."""
    value: Message = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if draw.random() < 0.3 or (field.message_type is not None and depth > 1):
            continue
        if is_map(field):
            of = field.message_type.fields_by_name["value"]
            for key in draw.sample(("a", "b", ""), 2):
                getattr(value, field.name)[key] = _drawn_scalar(of, draw)
        elif field.message_type is not None:
            made = [drawn_value(field.message_type, draw, depth + 1) for _ in range(draw.randint(1, 2))]
            if field.is_repeated:
                getattr(value, field.name).extend(made)
            else:
                getattr(value, field.name).CopyFrom(made[0])
        elif field.is_repeated:
            getattr(value, field.name).extend(_drawn_scalar(field, draw) for _ in range(draw.randint(1, 3)))
        else:
            setattr(value, field.name, _drawn_scalar(field, draw))
    return value


def _drawn_scalar(field: FieldDescriptor, draw: Random) -> Any:
    if field.enum_type is not None:
        return draw.choice(field.enum_type.values).number
    if field.cpp_type in _INTEGERS:
        return draw.choice(_INTEGERS[field.cpp_type])
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return draw.random() < 0.7
    if field.type == F.TYPE_STRING:
        return draw.choice(("", "text", "ä"))
    if field.type == F.TYPE_BYTES:
        return draw.choice((b"", b"text", b"\xff\xfe", b"\x08\x01"))
    return draw.choice((0.0, 1.5, -2.0))


def is_read_as_written(value: Message, reader: Descriptor) -> bool:
    """Whether all that both versions know is the same behind a serialisation."""
    try:
        read = message_factory.GetMessageClass(reader).FromString(value.SerializeToString())
    except (DecodeError, EncodeError):
        return False
    return _same(value, read)


def _same(written: Message, read: Message) -> bool:
    for field in written.DESCRIPTOR.fields:
        other = read.DESCRIPTOR.fields_by_name.get(field.name)
        if other is None:  # renamed, if the number has a name that is new
            other = read.DESCRIPTOR.fields_by_number.get(field.number)
            if other is not None and other.name in written.DESCRIPTOR.fields_by_name:
                return False
        if other is not None and not _same_field(written, field, read, other):
            return False
    return True


def _same_field(written: Message, field: FieldDescriptor, read: Message, other: FieldDescriptor) -> bool:
    if is_map(field) and is_map(other):
        one, two = getattr(written, field.name), getattr(read, other.name)
        values = field.message_type.fields_by_name["value"], other.message_type.fields_by_name["value"]
        return one.keys() == two.keys() and all(_same_item(one[key], values[0], two[key], values[1]) for key in one)
    ones, twos = _items(written, field), _items(read, other)
    if not field.is_repeated and not other.is_repeated and field.message_type is None and other.message_type is None:
        ones, twos = [getattr(written, field.name)], [getattr(read, other.name)]
    return len(ones) == len(twos) and all(
        _same_item(one, field, two, other) for one, two in zip(ones, twos, strict=True)
    )


def _items(message: Message, field: FieldDescriptor) -> list[Any]:
    if is_map(field):
        return list(getattr(message, field.name).items())
    if field.is_repeated:
        return list(getattr(message, field.name))
    present = message.HasField(field.name) if field.has_presence else True
    return [getattr(message, field.name)] if present else []


def _same_item(one: Any, field: FieldDescriptor, two: Any, other: FieldDescriptor) -> bool:
    if isinstance(one, Message) or isinstance(two, Message):
        return isinstance(one, Message) and isinstance(two, Message) and _same(one, two)
    if field.enum_type is not None and other.enum_type is not None:
        return _same_enum(one, field.enum_type, two, other.enum_type)
    one, two = (each.encode() if isinstance(each, str) else each for each in (one, two))
    return bool(one == two) and isinstance(one, bytes) == isinstance(two, bytes)


def _same_enum(one: int, written: EnumDescriptor, two: int, read: EnumDescriptor) -> bool:
    """By name, where both have it; renamed and removed values by number."""
    name = written.values_by_number[one].name if one in written.values_by_number else None
    if name in read.values_by_name:
        return bool(read.values_by_name[name].number == two)
    found = read.values_by_number.get(two)
    return one == two and (found is None or found.name not in written.values_by_name)
