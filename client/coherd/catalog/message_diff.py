"""What changes between two versions of a message, by the rules of Protobuf's wire: nested messages, enums, maps,
oneofs, and messages that contain themselves. Pure.

Bytes are matched to fields by number; names are never stored. So a field that keeps its name and gets another number is
lost, one that keeps its number and gets another name is the same field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from google.protobuf.descriptor import Descriptor, EnumDescriptor
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.descriptor_pb2 import DescriptorProto

from coherd.catalog.change import NEW_NUMBER, NEW_RESOURCE, READERS_FIRST, Change, Severity
from coherd.catalog.field_types import is_map, keeps_values, type_text


def compare_messages(element: str, what: str, old: Descriptor, new: Descriptor) -> Iterator[Change]:
    """Every difference of two messages and of all that they contain, each pair of messages once.

    Args:
        element: of the catalog, for the changes.
        what: the role of the message in it, for the changes: ``value``.
        old: as it was.
        new: as it is to be.
    """
    waiting = [(old, new)]
    seen = {(old.full_name, new.full_name)}
    while waiting:
        before, after = waiting.pop()
        comparison = _Comparison(element, f"{what} {before.full_name}", before, after)
        yield from comparison.changes()
        for pair in comparison.nested:
            names = (pair[0].full_name, pair[1].full_name)
            if names not in seen:
                seen.add(names)
                waiting.append(pair)


def _fields_of(message: Descriptor) -> dict[int, Field]:
    """Fields and extensions by number."""
    return {field.number: field for field in (*message.fields, *message.file.pool.FindAllExtensions(message))}


def _name_of(field: Field) -> str:
    return f"[{field.full_name}]" if field.is_extension else field.name


class _Comparison:
    """Of one message."""

    def __init__(self, element: str, where: str, old: Descriptor, new: Descriptor) -> None:
        self._element = element
        self._where = where
        self._old, self._new = _fields_of(old), _fields_of(new)
        self._numbers = {_name_of(field): number for number, field in self._new.items()}
        self._old_names = {_name_of(field) for field in self._old.values()}
        self._reserved, self._once_reserved = _reserved(new), _reserved(old)
        self.nested: list[tuple[Descriptor, Descriptor]] = []
        """Messages of fields that both have."""

    def changes(self) -> Iterator[Change]:
        for number, before in self._old.items():
            after = self._new.get(number)
            if after is None:
                yield self._gone(before)
            else:
                yield from self._names(before, after)
                yield from self._types(before, after)
        for number, after in self._new.items():
            if number not in self._old:
                yield from self._added(after)
        yield from self._oneofs()

    def _change(self, severity: Severity, field: Field | None, text: str, todo: str = "") -> Change:
        where = self._where if field is None else f"{self._where}.{_name_of(field)}"
        return Change(severity, self._element, f"{where}: {text}", todo)

    def _gone(self, before: Field) -> Change:
        name, number = _name_of(before), before.number
        if name in self._numbers:
            text = f"number {number} -> {self._numbers[name]}: what was written before is read without it"
            return self._change(Severity.BREAKING, before, text, f"give it its number {number} back")
        reserve = "" if any(number in each for each in self._reserved) else f"reserve {number} and its name; "
        text = f"removed (number {number}): readers of the old version find it unset in what is new"
        return self._change(Severity.ONE_WAY, before, text, reserve + READERS_FIRST)

    def _added(self, after: Field) -> Iterator[Change]:
        name, number = _name_of(after), after.number
        if name in self._old_names:
            return  # its number changed, which is told of the old one
        if any(number in each for each in self._once_reserved):
            text = f"added under number {number}, which was reserved: older entries may hold something else there"
            yield self._change(Severity.BREAKING, after, text, NEW_NUMBER)
        elif after.is_required:
            text = f"added as required (number {number}): what was written before lacks it, and is refused"
            yield self._change(Severity.BREAKING, after, text, "make it optional")
        else:
            yield self._change(
                Severity.NOTICE, after, f"added (number {number}): what was written before is read without it"
            )

    def _names(self, before: Field, after: Field) -> Iterator[Change]:
        old, new = _name_of(before), _name_of(after)
        if old == new:
            return
        if old in self._numbers or new in self._old_names:
            text = f"number {before.number} is now {new}: what was written as {old} is read as {new}"
            yield self._change(Severity.BREAKING, before, text, NEW_NUMBER)
        else:
            todo = (
                "if it means something else now, give it a number of its own; callers that write JSON use the new name"
            )
            yield self._change(Severity.NOTICE, before, f"renamed to {new}, number {before.number} stays", todo)

    # Types.

    def _types(self, before: Field, after: Field) -> Iterator[Change]:
        texts = f"{type_text(before)} -> {type_text(after)}"
        if before.is_repeated != after.is_repeated:
            yield self._repetition(before, after, texts)
            return
        if is_map(after) and not is_map(before):
            text = f"{texts}: of items with one key only the last is read"
            yield self._change(Severity.BREAKING, before, text, NEW_NUMBER)
            return
        if before.type == after.type and before.message_type is not None and after.message_type is not None:
            self.nested.append((before.message_type, after.message_type))
            if before.message_type.full_name != after.message_type.full_name and not is_map(before):
                yield self._change(Severity.NOTICE, before, f"{texts}: compared field by field")
        elif before.enum_type is not None and after.enum_type is not None:
            yield from self._enums(before, before.enum_type, after.enum_type)
        elif not keeps_values(before, after):
            text = f"{texts}: what was written before is read as something else, or not at all"
            yield self._change(Severity.BREAKING, before, text, NEW_NUMBER)
            return
        elif before.type != after.type:
            if keeps_values(after, before):
                yield self._change(Severity.NOTICE, before, f"{texts}: values stay")
            else:
                text = f"{texts}: readers of the old version misread values that only the new type has"
                yield self._change(Severity.ONE_WAY, before, text, READERS_FIRST)
        if not before.is_repeated:
            yield from self._presence(before, after)

    def _repetition(self, before: Field, after: Field, texts: str) -> Change:
        if before.is_repeated or not keeps_values(before, after) or is_map(after):
            text = f"{texts}: of several items one is left, or they are read as something else"
            return self._change(Severity.BREAKING, before, text, NEW_NUMBER)
        if before.message_type is not None and after.message_type is not None:
            self.nested.append((before.message_type, after.message_type))
        elif before.enum_type is not None and after.enum_type != before.enum_type:
            text = f"{texts}: two changes at one time, which are not told apart"
            return self._change(Severity.BREAKING, before, text, NEW_NUMBER)
        elif before.is_required or not before.has_presence:
            text = f"{texts}: a value that equals its default was not written, and is read as no item"
            return self._change(Severity.BREAKING, before, text, NEW_NUMBER)
        text = f"{texts}: one value is read as one item; readers of the old version find one of several, or none"
        return self._change(Severity.ONE_WAY, before, text, READERS_FIRST)

    def _presence(self, before: Field, after: Field) -> Iterator[Change]:
        """Required, defaults, and whether a field knows that it is set."""
        if after.is_required and not before.is_required:
            text = "now required: what was written without it is refused"
            yield self._change(Severity.BREAKING, before, text, "leave it optional")
        elif before.is_required and not after.is_required:
            text = "no longer required: readers of the old version refuse what is written without it"
            yield self._change(Severity.ONE_WAY, before, text, READERS_FIRST)
        if before.message_type is not None or after.message_type is not None:
            return
        old, new = _default(before), _default(after)
        if old != new and not before.is_required:
            text = "its default changed: what was written without it is read with the new one"
            yield self._change(Severity.BREAKING, before, text, "keep the default")
        elif before.has_presence != after.has_presence:
            told = "now known: a default that was written before is not" if after.has_presence else "no longer known"
            yield self._change(Severity.NOTICE, before, f"whether it is set is {told}")

    def _enums(self, field: Field, old: EnumDescriptor, new: EnumDescriptor) -> Iterator[Change]:
        if old.full_name != new.full_name:
            text = f"{old.full_name} -> {new.full_name}: compared value by value"
            yield self._change(Severity.NOTICE, field, text)
        if old.is_closed != new.is_closed:
            if new.is_closed:
                text = f"enum {new.name} is closed now: a number without a name is lost"
                yield self._change(Severity.BREAKING, field, text, "keep it open")
            else:
                text = f"enum {new.name} is open now: readers of the old version lose numbers without a name"
                yield self._change(Severity.ONE_WAY, field, text, READERS_FIRST)
        before, after = _by_number(old), _by_number(new)
        kept = {name for names in after.values() for name in names}
        known = {name for names in before.values() for name in names}
        for number, names in before.items():
            yield from self._enum_value(field, number, names, after.get(number, set()), kept, known, new)
        for number in after.keys() - before.keys():
            names = after[number] - known
            if names and new.is_closed:
                text = f"value {_listed(names)} = {number} added: readers of the old version lose it"
                yield self._change(Severity.ONE_WAY, field, text, READERS_FIRST)
            elif names:
                text = (
                    f"value {_listed(names)} = {number} added: readers of the old version see a number without a name"
                )
                yield self._change(Severity.NOTICE, field, text)

    def _enum_value(
        self,
        field: Field,
        number: int,
        old: set[str],
        new: set[str],
        kept: set[str],
        known: set[str],
        enum: EnumDescriptor,
    ) -> Iterator[Change]:
        todo = "give every value its number back; add values with numbers of their own"
        if old & new:
            if moved := (old - new) & kept:
                yield self._change(Severity.BREAKING, field, f"value {_listed(moved)}: no longer {number}", todo)
        elif old & kept or new & known:
            now = _listed(new) or "nothing"
            text = f"value {number} was {_listed(old)} and is {now}: what was written before means something else"
            yield self._change(Severity.BREAKING, field, text, todo)
        elif new:
            text = f"value {number} {_listed(old)} renamed to {_listed(new)}"
            yield self._change(Severity.NOTICE, field, text, "if it means something else now, take another number")
        elif enum.is_closed:
            text = f"value {number} {_listed(old)} removed: what was written with it is read without it"
            yield self._change(Severity.BREAKING, field, text, "keep the value")
        else:
            text = f"value {number} {_listed(old)} removed: it is read as a number without a name"
            yield self._change(Severity.NOTICE, field, text, f"keep it until no entry holds it, then reserve {number}")

    # Oneofs.

    def _oneofs(self) -> Iterator[Change]:
        """Of the fields of one oneof only the last that was written is read."""
        before, after = _oneof_of(self._old), _oneof_of(self._new)
        shared = self._old.keys() & self._new.keys()
        for oneof in dict.fromkeys(after.values()):
            groups: set[str | int] = {before.get(number, number) for number in shared if after.get(number) == oneof}
            if len(groups) > 1:
                names = ", ".join(sorted(_name_of(self._new[n]) for n in shared if after.get(n) == oneof))
                text = f"{names} are in one oneof {oneof}: where several were written only the last is read"
                yield self._change(Severity.BREAKING, None, text, NEW_RESOURCE)
        for oneof in dict.fromkeys(before.values()):
            groups = {after.get(number, number) for number in shared if before.get(number) == oneof}
            if len(groups) > 1:
                names = ", ".join(sorted(_name_of(self._old[n]) for n in shared if before.get(n) == oneof))
                text = f"{names} are in one oneof {oneof} no more: readers of the old version read only the last"
                yield self._change(Severity.ONE_WAY, None, text, READERS_FIRST)


def _oneof_of(fields: Mapping[int, Field]) -> dict[int, str]:
    """Name of the oneof of each field that shares it with others."""
    oneofs = {number: field.containing_oneof for number, field in fields.items()}
    return {number: oneof.name for number, oneof in oneofs.items() if oneof is not None and len(oneof.fields) > 1}


def _reserved(message: Descriptor) -> list[range]:
    proto = DescriptorProto()
    message.CopyToProto(proto)
    return [range(each.start, each.end) for each in proto.reserved_range]


def _default(field: Field) -> object:
    """The default as it compares: text as its bytes, NaN as equal to itself."""
    value = field.default_value
    if isinstance(value, str):
        return value.encode()
    return repr(value) if isinstance(value, float) else value


def _by_number(enum: EnumDescriptor) -> dict[int, set[str]]:
    names: dict[int, set[str]] = {}
    for value in enum.values:
        names.setdefault(value.number, set()).add(value.name)
    return names


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
